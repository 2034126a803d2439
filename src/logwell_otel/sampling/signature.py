"""The pattern of a message: what stays the same when the values in it change.

The rule, word by word (a word is what stands between white space; only the first 1,024
characters of a message count), in this order:

1. a URL, from its scheme to the end of the word, becomes `<url>`;
2. an e-mail address becomes `<email>`;
3. a UUID becomes `<uuid>`;
4. a date and time in one word becomes `<time>`, a date `<date>`, a time of day with
   seconds `<time>`;
5. an IPv6 address with a digit in it (or anything written like one, a MAC address for
   example) becomes `<ip>`, an IPv4 address as well;
6. what is left with an ASCII digit in it becomes `<n>`: numbers with sign, decimals,
   thousands and exponent; numbers with a unit (`15ms`); `0x1f`; runs of 8 or more
   hexadecimal digits; runs of letters and digits in which a letter follows a digit. A run
   that ends in its only digits keeps its letters: `worker7` becomes `worker<n>`.

The words are joined by single spaces. The signature is the BLAKE2b digest of 8 bytes of
the UTF-8 text, in hexadecimal. Test vectors: `tests/data/signature_vectors.json`.

Every rule takes any digit for any other, so that the result is the same for all messages
of one *shape*, the message with a zero for each digit. That is what makes a cache work
where no two messages are the same.
"""

from __future__ import annotations

import hashlib
import re

MAX_MESSAGE = 1024
"""Characters of a message that count."""

_MAX_KNOWN = 4096
_MAX_KNOWN_LENGTH = 256
_MAX_KNOWN_WORD = 64

_AS_SHAPE = bytes(0x30 if 0x30 <= byte <= 0x39 else byte for byte in range(256))

_SCHEME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-"
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]+@[\w-]+(?:\.[\w-]+)+")
_UUID = re.compile(
    r"(?<![0A-Za-z])[0a-fA-F]{8}-[0a-fA-F]{4}-[0a-fA-F]{4}-[0a-fA-F]{4}-[0a-fA-F]{12}(?![0A-Za-z])"
)
_HEX_ID = re.compile(r"(?=[a-fA-F]*0)[0a-fA-F]{8,}")
_DAY = r"0000-00-00|0000/00/00|00\.00\.0000|00/[A-Z][a-z][a-z]/0000"
_CLOCK = r"00:00:00(?:[.,]0+)?"
_ZONE = r"(?:Z|[+-]00:?00)?"
_TIME = re.compile(rf"(?<![0A-Za-z])(?:{_DAY})[T_:]00:00(?::00(?:[.,]0+)?)?{_ZONE}(?![0A-Za-z])")
_DATE = re.compile(rf"(?<![0A-Za-z])(?:{_DAY})(?![0A-Za-z])")
_TIME_OF_DAY = re.compile(rf"(?<![0A-Za-z:]){_CLOCK}{_ZONE}(?![0A-Za-z:])")
_IPV4 = re.compile(r"(?<![0A-Za-z.])0{1,3}\.0{1,3}\.0{1,3}\.0{1,3}(?![0A-Za-z]|\.0)")
_IPV6 = re.compile(
    r"(?<![\w:])(?=[a-fA-F:]*0)[0a-fA-F]{0,4}(?::[0a-fA-F]{0,4}){2,7}(?:(?:\.0{1,3}){3})?(?![\w:])"
)
_NUMBER = re.compile(
    r"(?<![0A-Za-z])"
    r"(?:(?=[a-fA-F]+0)[0a-fA-F]{8,}(?![0A-Za-z])"  # deadbeef01
    r"|[A-Za-z]+0+[A-Za-z][0A-Za-z]*"  # kX3fQ9
    r"|[+-]?0+(?:[.,]0+)*[eE][+-]0+"  # 1.5e-07
    r"|[+-]?0[0A-Za-z]*(?:[.,:]0[0A-Za-z]*)*)"  # 17, -1,234.5, 15ms, 0x1f, 12:30
    r"|(?<=[A-Za-z])0+(?![0A-Za-z])(?:[.,]0+)*"  # the 12 of user12
)


class _Words(dict[str, str]):
    """What has become of a word: words come again far more often than messages do."""

    def __missing__(self, word: str) -> str:
        # Ids are never seen again: a look of their own is cheaper than all the others,
        # and they must not push out words that are.
        if _UUID.fullmatch(word):
            return "<uuid>"
        if _HEX_ID.fullmatch(word):
            return "<n>"
        rewritten = _rewrite(word)
        if len(word) <= _MAX_KNOWN_WORD:
            if len(self) >= _MAX_KNOWN:
                # Starting over costs less than keeping an order.
                self.clear()
            self[word] = rewritten
        return rewritten


class _Digests(dict[str, str]):
    """The digest of a pattern."""

    def __missing__(self, text: str) -> str:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        if len(text) <= _MAX_KNOWN_LENGTH:
            if len(self) >= _MAX_KNOWN:
                self.clear()
            self[text] = digest
        return digest


_words = _Words()
_digests = _Digests()
_signatures: dict[bytes, str] = {}


def pattern(message: str) -> str:
    """Return the message with its values replaced: `User <n> logged in from <ip>`."""
    return _pattern(_shape(message))


def signature(message: str) -> str:
    """Return the 16 hexadecimal digits that messages of one pattern have in common."""
    shape = _shape(message)
    known = _signatures.get(shape)
    if known is None:
        known = _digests[_pattern(shape)]
        if len(shape) <= _MAX_KNOWN_LENGTH:
            if len(_signatures) >= _MAX_KNOWN:
                _signatures.clear()
            _signatures[shape] = known
    return known


def _shape(message: str) -> bytes:
    return message[:MAX_MESSAGE].encode("utf-8", "surrogatepass").translate(_AS_SHAPE)


def _pattern(shape: bytes) -> str:
    return " ".join([_words[word] for word in shape.decode("utf-8", "surrogatepass").split()])


def _rewrite(word: str) -> str:
    """Rewrite one word of a shape: every digit in it is a zero."""
    scheme = word.find("://")
    if scheme > 0:
        before = word[:scheme].rstrip(_SCHEME)
        return _rewrite(before) + "<url>" if before else "<url>"
    if "@" in word:
        word = _EMAIL.sub("<email>", word)
    if "-" in word:
        word = _UUID.sub("<uuid>", word)
    if "0" not in word:
        return word
    if "00:00" in word or "0000" in word:
        word = _TIME.sub("<time>", word)
        word = _DATE.sub("<date>", word)
        word = _TIME_OF_DAY.sub("<time>", word)
    if word.count(":") > 1:
        word = _IPV6.sub("<ip>", word)
    if ".0" in word:
        word = _IPV4.sub("<ip>", word)
    return _NUMBER.sub("<n>", word)


# The two compatible signatures, which a policy server's patterns may be keyed by. They are
# another project's (LipService): what they do is given, oddities included, down to the order
# of the replacements. Passes that cannot match are left out, and the e-mail pattern, whose own
# form takes quadratic time, is matched from its @ outwards; the result is the same. Test
# vectors: `tests/data/foreign_signature_vectors.json`.

_COMPATIBLE_UUID = re.compile(
    r"[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}", re.IGNORECASE
)
_COMPATIBLE_HEX_ID = re.compile(r"\b[a-f0-9]{32,}\b", re.IGNORECASE)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}")
_COMPATIBLE_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_COMPATIBLE_TIME = re.compile(r"\b\d{2}:\d{2}:\d{2}\b")
_IP = re.compile(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b")
_URL = re.compile(r"https?://[^\s]+")
_COMPATIBLE_NUMBER = re.compile(r"\b\d+\b")
_DIGITS = re.compile(r"\d+")
_SPACE = re.compile(r"\s+")
_DRIVE_PATH = re.compile(r"[a-z]:\\[^\s]+")
_PATH = re.compile(r"/[^\s]+/[^\s]+")

_EMAIL_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
_EMAIL_DOMAIN = re.compile(r"@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}\b")
_BOUNDARY = re.compile(r"\b")


def client_signature(message: str) -> str:
    """Return the signature as the policy server's clients compute it: 32 hex digits."""
    text = message
    if "-" in text:
        text = _COMPATIBLE_UUID.sub("UUID", text)
    text = _COMPATIBLE_HEX_ID.sub("HEXID", text)
    if "-" in text:
        text = _TIMESTAMP.sub("TIMESTAMP", text)
        text = _COMPATIBLE_DATE.sub("DATE", text)
    if ":" in text:
        text = _COMPATIBLE_TIME.sub("TIME", text)
    if "." in text:
        text = _IP.sub("IP", text)
    if "@" in text:
        text = _replace_emails(text)
    if "://" in text:
        text = _URL.sub("URL", text)
    text = _COMPATIBLE_NUMBER.sub("N", text)
    return _md5(_SPACE.sub(" ", text).strip())


def server_signature(message: str) -> str:
    """Return the signature as the policy server itself computes it: 32 hex digits."""
    if not message:
        return _md5("empty")
    text = _DIGITS.sub("N", message.lower().strip())
    # Numbers are gone by now: dates, times and addresses have become `N-N-N` and the like,
    # and only a UUID of nothing but letters would still be one.
    if "-" in text:
        text = _COMPATIBLE_UUID.sub("UUID", text)
    text = _DRIVE_PATH.sub("PATH", text)
    text = _PATH.sub("PATH", text)
    return _md5(_SPACE.sub(" ", text))


def _md5(text: str) -> str:
    # Not for security: the keys of a policy are MD5. FIPS builds refuse it otherwise.
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _replace_emails(text: str) -> str:
    r"""Do what `\b[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}\b` -> `EMAIL` does."""
    parts = []
    done = floor = 0
    at = text.find("@")
    while at >= 0:
        domain = _EMAIL_DOMAIN.match(text, at)
        if domain:
            begin = floor + len(text[floor:at].rstrip(_EMAIL_LOCAL))
            border = _BOUNDARY.search(text, begin, at + 1)
            if border and border.start() < at:
                parts += [text[done : border.start()], "EMAIL"]
                done = domain.end()
        floor = max(done, at + 1)
        at = text.find("@", floor)
    return "".join([*parts, text[done:]])
