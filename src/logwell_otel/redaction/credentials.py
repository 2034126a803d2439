"""Credentials that are known by their own shape, whatever stands around them.

The shapes are those the issuers document or that public secret scanners agree on. Each has
a piece of text that is always in it, in lower case: where that is missing, the pattern
does not run.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from logwell_otel.redaction.names import by_first_character, is_placeholder, marker, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Shape(NamedTuple):
    """A credential's shape.

    Attributes:
        kind: What the marker says.
        needle: A text that is always in it, in lower case.
        pattern: The credential.
        look: Where the needle is too common to say anything: a regular expression for the
            credential's shape, in lower case with every digit a zero.
    """

    kind: str
    needle: str
    pattern: re.Pattern[str]
    look: re.Pattern[str] | None = None


def _shape(kind: str, needle: str, pattern: str, look: str | None = None) -> Shape:
    return Shape(
        kind,
        needle,
        re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})", re.ASCII),
        re.compile(look) if look else None,
    )


def _prefixed(kind: str, *tokens: tuple[str, str]) -> list[Shape]:
    """Make shapes of what follows a prefix that nothing else has, 16 characters at least."""
    return [
        _shape(
            kind,
            prefix.lower(),
            rf"{re.escape(prefix)}{rest}",
            re.escape(shape_of(prefix).decode()) + r"[\w$.~+/=-]{16}",
        )
        for prefix, rest in tokens
    ]


_ID = r"[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}"
_MIXED = r"(?=[A-Za-z]{0,24}\d)(?=[a-z0-9]{0,24}[A-Z])"

# The secret half has no shape of its own; it is known by the id before it.
_AWS = r"{}[A-Z0-9]{{16}}(?![A-Za-z0-9])(?:[^\w+]{{1,8}}[\w/+]{{40}}(?![\w/+]))?"

SHAPES = (
    _shape("logwell_key", "lw_", r"lw_[\w-]{32}(?![\w-])"),
    # Three parts when signed, five when encrypted; a log line may have cut the last.
    _shape("jwt", "eyj", r"eyJ[\w-]{8,}\.(?:eyJ[\w-]{8,}(?:\.[\w-]*)?|[\w-]*(?:\.[\w-]*){1,3})"),
    _shape("aws_key", "akia", _AWS.format("AKIA")),
    _shape("aws_key", "asia", _AWS.format("ASIA")),
    _shape("aws_key", "abia", _AWS.format("ABIA")),
    _shape("aws_key", "acca", _AWS.format("ACCA")),
    _shape("aws_key", "a3t", _AWS.format("A3T[A-Z0-9]")),
    _shape("aws_key", "absk", r"ABSK[A-Za-z0-9+/]{100,}={0,2}"),
    _shape("gcp_key", "aiza", r"AIza[\w-]{35}(?![\w-])"),
    _shape("gcp_token", "ya29.", r"ya29\.[\w-]{20,}"),
    _shape("gcp_secret", "gocspx-", r"GOCSPX-[\w-]{20,}"),
    _shape("github_token", "gh", r"gh[pousr]_[A-Za-z0-9]{36,}"),
    _shape("github_token", "github_pat_", r"github_pat_\w{22,}"),
    _shape(
        "gitlab_token",
        "gl",
        r"gl(?:pat|dt|rtr?|ptt|ft|soat|cbt|agent|imt|oas|ffct|wt)-[\w-]{20,}(?:\.[0-9a-z]{2}\.[0-9a-z]{7,9})?",
    ),
    _shape("gitlab_token", "gr1348941", r"GR1348941[\w-]{20,}"),
    _shape(
        "slack_token",
        "xox",
        r"xox[abeprs](?:\.xox[bp])?-(?=[A-Za-z-]{0,60}\d)[A-Za-z0-9-]{10,}"
        r"|xoxd-[\w%+/=-]{40,}"
        r"|xoxo-(?:\d{6,}-){1,5}[A-Za-z0-9]{10,}",
    ),
    _shape("slack_token", "xapp-", r"xapp-\d-[A-Za-z0-9-]{10,}"),
    _shape(
        "slack_webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]+",
    ),
    _shape("stripe_key", "k_live_", r"[sr]k_live_[A-Za-z0-9]{10,}"),
    _shape("stripe_key", "k_test_", r"[sr]k_test_[A-Za-z0-9]{10,}"),
    _shape("stripe_key", "k_prod_", r"[sr]k_prod_[A-Za-z0-9]{10,}"),
    _shape("webhook_secret", "whsec_", r"whsec_[A-Za-z0-9+/=]{24,}"),
    # A digit and an upper-case letter keep the class names of style sheets out.
    _shape(
        "ai_key",
        "sk-",
        r"(?<!-)sk-(?:(?:ant|or|proj|svcacct|admin|lf)-[\w-]{30,}|(?=[\w-]{0,60}\d)(?=[\w-]{0,60}[A-Z])[\w-]{20,}"
        r"|(?=[a-z]{0,60}\d)[a-z0-9]{32,64}(?![\w-]))",
    ),
    # Letters of both cases in turns keep names of classes and functions out.
    _shape("ai_key", "hf_", r"hf_(?=(?:[a-z0-9]{0,34}[A-Z]){6})[A-Za-z0-9]{34}(?![\w-])"),
    _shape("ai_key", "gsk_", r"gsk_[A-Za-z0-9]{48,}"),
    _shape("ai_key", "xai-", r"xai-[A-Za-z0-9]{60,}"),
    _shape("ai_key", "pplx-", r"pplx-[A-Za-z0-9]{40,}"),
    _shape("ai_key", "r8_", r"r8_[A-Za-z0-9]{37,}"),
    _shape("ai_key", "nvapi-", r"nvapi-[\w-]{60,}"),
    _shape("npm_token", "npm_", r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _shape("pypi_token", "pypi-ageichlwas5vcmc", r"pypi-AgEIcHlwaS5vcmc[\w-]{50,}"),
    _shape("pypi_token", "pypi-agendgvzdc5wexbp", r"pypi-AgENdGVzdC5weXBp[\w-]{50,}"),
    _shape(
        "sendgrid_key",
        "sg.",
        r"SG\.(?:[\w-]{16,32}\.[\w-]{16,64}|[\w=.-]{66}(?![\w=.-]))",
        r"sg\.[\w=-]{16}",
    ),
    _shape("digitalocean_token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    _shape("shopify_token", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _shape("vault_token", "hvs.", r"hvs\.[\w-]{24,}"),
    _shape("vault_token", "hvb.", r"hvb\.[\w-]{24,}"),
    _shape(
        "vault_token",
        "s.",
        r"(?<![\w.-])s\.(?=[A-Za-z]{0,23}\d)(?=[a-z0-9]{0,23}[A-Z])[A-Za-z0-9]{24}(?![\w.-])",
        r"s\.[a-z0]{24}",
    ),
    _shape(
        "databricks_token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?(?![A-Za-z0-9])", "dapi[a-f0]{32}"
    ),
    _shape("grafana_token", "glsa_", r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}"),
    _shape("grafana_token", "glc_", r"glc_[A-Za-z0-9+/]{32,}={0,2}", "glc_[a-z0+/]{32}"),
    _shape("postman_key", "pmak-", r"PMAK-[A-Za-z0-9]{24}-[A-Za-z0-9]{34}"),
    _shape("atlassian_token", "atatt3", r"ATATT3[\w=-]{60,}"),
    _shape(
        "doppler_token", "dp.", r"dp\.(?:pt|st|sa|ct|scim|audit)\.[\w.-]{30,}", r"dp\.[a-z]{2,5}\."
    ),
    _shape("planetscale_token", "pscale_", r"pscale_(?:tkn|pw|oauth)_[\w=.-]{32,}"),
    _shape("sentry_token", "sntrys_", r"sntrys_[\w+/=-]{40,}"),
    _shape("sentry_token", "sntryu_", r"sntryu_[a-f0-9]{64}"),
    _shape("notion_token", "ntn_", r"ntn_[A-Za-z0-9]{40,}", "ntn_[a-z0]{40}"),
    _shape("linear_key", "lin_api_", r"lin_api_[A-Za-z0-9]{40}"),
    _shape("age_key", "age-secret-key-", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    _shape("facebook_token", "eaac", r"EAAC[A-Za-z0-9]{30,}", "eaac[a-z0]{30}"),
    _shape("facebook_token", "eaam", r"EAAM[A-Za-z0-9]{30,}", "eaam[a-z0]{30}"),
    _shape("square_token", "sq0", r"sq0(?:csp-[\w-]{43}|atp-[\w-]{22})"),
    _shape("square_token", "sq0", r"sq0(?:csb|atb|idb)-[\w-]{22,43}(?![\w-])"),
    _shape("aws_key", "da2-", r"da2-[a-z0-9]{26}(?![a-z0-9])", "da0-[a-z0]{26}"),
    # 64 bytes in base64, as an account's key is; the hashes in lock files say what they are.
    _shape(
        "azure_key",
        "==",
        r"(?<![A-Za-z0-9+/])(?<!sha512-)[A-Za-z0-9+/]{86}==",
        r"==(?<=[a-z0+/]{86}==)",
    ),
    _shape("azure_token", ".aga", r"[01]\.A[\w-]{30,}\.AgA[\w-]{30,}", r"\.aga[\w-]{30}"),
    _shape("atlassian_token", "bbdc-", r"BBDC-[A-Za-z0-9+/]{40,}", "bbdc-[a-z0+/]{40}"),
    _shape("onepassword_token", "ops_eyj", r"ops_eyJ[\w+/=-]{100,}"),
    _shape(
        "onepassword_key",
        "a3-",
        r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}",
        "a0-[a-z0]{6}-",
    ),
    _shape("sourcegraph_token", "sgp_", r"sgp_(?:(?:local|[a-fA-F0-9]{16})_)?[a-fA-F0-9]{40}"),
    _shape("sonar_token", "sq", r"sq[pua]_[a-f0-9]{40}", "sq[pua]_[a-f0]{40}"),
    _shape("heroku_key", "hrku-aa", r"HRKU-AA[\w-]{50,}"),
    _shape("fly_token", "fo1_", r"fo1_[\w-]{43}"),
    _shape("fly_token", "fm", r"fm[12][ar]?_[A-Za-z0-9+/]{60,}={0,3}", "fm0[ar]?_[a-z0+/]{60}"),
    _shape("langsmith_key", "lsv2_", r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}"),
    _shape("ai_key", "api_org_", r"api_org_[A-Za-z]{34}(?![A-Za-z0-9])"),
    _shape("facebook_token", "|", r"\d{15,16}\|[\w-]{27}(?![\w-])", r"0\|[\w-]{27}"),
    _shape("square_token", "eaaa", r"EAAA[\w-]{60}(?![\w-])", r"eaaa[\w-]{60}"),
    _shape("twilio_key", "sk", r"SK[a-f0-9]{32}(?![A-Za-z0-9])", "sk[a-f0]{32}"),
    _shape("docker_token", "dckr_", r"dckr_[po]at_[\w-]{27,}"),
    _shape("rubygems_key", "rubygems_", r"rubygems_[a-f0-9]{48}"),
    _shape("newrelic_key", "nrak-", r"NRAK-[A-Z0-9]{27}"),
    _shape("brevo_key", "xkeysib-", r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    _shape("figma_token", "figd_", r"figd_[\w-]{40}"),
    _shape("azure_secret", "q~", r"[\w.~-]{3}\dQ~[\w.~-]{31,34}(?![\w.~-])", r"q~[\w.~-]{31}"),
    _shape("mailchimp_key", "-us", r"[a-f0-9]{32}-us\d{1,2}(?!\w)", "-us0"),
    _shape(
        "discord_token",
        ".",
        r"(?<![\w.-])[A-Z][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,40}(?![\w.-])",
        r"\.[\w-]{6}\.[\w-]{27}",
    ),
    _shape("discord_webhook", "/api/webhooks/", r"(?<=/api/webhooks/)\d{17,20}/[\w-]{60,}"),
    *_prefixed("ai_key", ("csk-", r"[a-z0-9]{48}"), ("e2b_", r"[a-f0-9]{40}")),
    *_prefixed(
        "ai_key",
        ("fw_", rf"{_MIXED}[A-Za-z0-9]{{22,24}}(?!\w)"),
        ("jina_", rf"{_MIXED}[\w-]{{56,}}"),
    ),
    *_prefixed("ai_key", ("pcsk_", r"[A-Za-z0-9]{5,6}_[A-Za-z0-9]{50,}")),
    *_prefixed("ai_key", ("sk_", r"[a-f0-9]{48}(?!\w)"), ("tgp_v1_", r"[\w-]{43}")),
    *_prefixed("ai_key", ("tvly-", r"(?:dev-|prod-)?[A-Za-z0-9]{32}")),
    *_prefixed("adobe_secret", ("p8e-", r"[A-Za-z0-9]{32}(?!\w)")),
    *_prefixed("aiven_password", ("AVNS_", r"[\w-]{16,}")),
    *_prefixed("alibaba_key", ("LTAI", r"[A-Za-z0-9]{16,24}(?!\w)")),
    *_prefixed("apify_token", ("apify_api_", r"[A-Za-z0-9]{36}")),
    *_prefixed("atlassian_token", ("ATBB", r"[A-Za-z0-9]{32}(?!\w)"), ("ATCTT3", r"[\w=-]{60,}")),
    *_prefixed("atlassian_token", ("ATTA", r"[a-f0-9]{60}")),
    *_prefixed("braintree_token", ("access_token$production$", r"[a-z0-9]{16}\$[a-f0-9]{32}")),
    *_prefixed("brevo_key", ("xsmtpsib-", r"[a-f0-9]{64}-[A-Za-z0-9]{16}")),
    *_prefixed("buildkite_token", ("bkua_", r"[a-f0-9]{40}")),
    *_prefixed("circleci_token", ("CCIPAT_", r"[A-Za-z0-9]{22}_[a-f0-9]{40}")),
    *_prefixed("circleci_token", ("CCIPRJ_", r"[A-Za-z0-9]{22}_[a-f0-9]{40}")),
    *_prefixed("clojars_token", ("CLOJARS_", r"[a-z0-9]{60}")),
    *_prefixed("cloudflare_key", ("v1.0-", r"[a-f0-9]{24}-[a-f0-9]{146}")),
    *_prefixed("contentful_token", ("CFPAT-", r"[\w-]{43}")),
    *_prefixed("crates_token", ("cio", r"[A-Za-z0-9]{32}(?!\w)")),
    *_prefixed("deno_token", ("ddp_", r"[A-Za-z0-9]{36}"), ("ddo_", r"[A-Za-z0-9]{36}")),
    *_prefixed("dropbox_token", ("sl.", r"[\w=-]{130,}"), ("sl.u.", r"[\w=-]{130,}")),
    *_prefixed("duffel_token", ("duffel_live_", r"[\w=-]{43}"), ("duffel_test_", r"[\w=-]{43}")),
    *_prefixed("dynatrace_token", ("dt0c01.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}")),
    *_prefixed("dynatrace_token", ("dt0s01.", r"[A-Z0-9]{8,24}\.[A-Z0-9]{64}")),
    *_prefixed("easypost_key", ("EZAK", r"[A-Za-z0-9]{54}"), ("EZTK", r"[A-Za-z0-9]{54}")),
    _shape("facebook_token", "eaa", r"EAA[BD-LN-Z][A-Za-z0-9]{80,}", r"eaa[a-z][a-z0]{80}"),
    *_prefixed("facebook_token", ("IGQV", r"[\w-]{80,}"), ("IGAA", r"[\w-]{80,}")),
    *_prefixed("flutterwave_key", ("FLWSECK-", r"[a-z0-9]{32}-X")),
    *_prefixed("flutterwave_key", ("FLWSECK_TEST-", r"[a-z0-9]{32}-X")),
    *_prefixed("frameio_token", ("fio-u-", r"[\w=-]{64}")),
    _shape("gcp_token", "1//0", r"1//0[\w-]{40,}", r"//0[\w-]{40}"),
    *_prefixed("harness_token", ("pat.", r"[\w-]{22}\.[a-f0-9]{24}\.[A-Za-z0-9]{20}")),
    *_prefixed("harness_token", ("sat.", r"[\w-]{22}\.[a-f0-9]{24}\.[A-Za-z0-9]{20}")),
    *_prefixed("heroku_key", ("HRKU-", _ID)),
    *_prefixed("hubspot_token", ("pat-na1-", _ID), ("pat-na2-", _ID), ("pat-eu1-", _ID)),
    *_prefixed("infisical_token", ("st.", r"[a-f0-9]{24}\.[a-f0-9]{32}\.[a-f0-9]{32}")),
    *_prefixed("jfrog_token", ("AKCp", r"[A-Za-z0-9]{69}"), ("cmVmdGtuO", r"[A-Za-z0-9]{50,}")),
    *_prefixed("lichess_token", ("lip_", rf"{_MIXED}[A-Za-z0-9]{{20}}(?!\w)")),
    *_prefixed("mapbox_token", ("sk.eyJ", r"[\w-]{20,}\.[\w-]{20,}")),
    _shape(
        "maxmind_key",
        "_mmk",
        r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk(?!\w)",
        r"_mmk(?<=[a-z0]{6}_[a-z0]{29}_mmk)",
    ),
    *_prefixed("mercadopago_token", ("APP_USR-", r"\d{12,16}-\d{6}-[a-f0-9]{32}")),
    *_prefixed("neon_key", ("napi_", r"[a-z0-9]{64}")),
    *_prefixed("netlify_token", ("nfp_", r"[A-Za-z0-9]{36,}")),
    *_prefixed("newrelic_key", ("NRAA-", r"[a-f0-9]{27}"), ("NRII-", r"[\w-]{32}")),
    _shape(
        "newrelic_key",
        "nral",
        r"(?:[a-f0-9]{36}|eu01xx[a-f0-9]{26,30}F{4})NRAL(?!\w)",
        r"nral(?<=[a-f0]{20}nral)",
    ),
    *_prefixed("notion_token", ("secret_", r"[A-Za-z0-9]{43}(?!\w)")),
    *_prefixed("nuget_key", ("oy2", r"[a-z0-9]{43}(?!\w)")),
    *_prefixed("octopus_key", ("API-", r"[A-Z0-9]{26}(?!\w)")),
    *_prefixed("openshift_token", ("sha256~", r"[\w-]{43}")),
    *_prefixed(
        "paseto",
        *(
            (f"v{version}.{use}.", r"[\w-]{32,}(?:\.[\w-]+)?")
            for version in range(1, 5)
            for use in ("local", "public")
        ),
    ),
    *_prefixed(
        "plaid_token",
        *((f"access-{place}-", _ID) for place in ("sandbox", "development", "production")),
    ),
    *_prefixed("polar_token", ("polar_oat_", r"[A-Za-z0-9]{40,}")),
    *_prefixed("posthog_key", ("phx_", r"[A-Za-z0-9]{43,}")),
    *_prefixed("prefect_key", ("pnu_", r"[A-Za-z0-9]{36}"), ("pnb_", r"[A-Za-z0-9]{36}")),
    *_prefixed("pulumi_token", ("pul-", r"[a-f0-9]{40}")),
    *_prefixed("readme_key", ("rdme_", r"[a-z0-9]{70}")),
    *_prefixed("render_key", ("rnd_", rf"{_MIXED}[A-Za-z0-9]{{28,}}(?!\w)")),
    *_prefixed("resend_key", ("re_", r"[A-Za-z0-9]{8}_[A-Za-z0-9]{24}(?!\w)")),
    *_prefixed("rootly_key", ("rootly_", r"[a-f0-9]{64}")),
    *_prefixed("scalingo_token", ("tk-us-", r"[\w-]{48}")),
    *_prefixed(
        "shippo_token", ("shippo_live_", r"[a-f0-9]{40}"), ("shippo_test_", r"[a-f0-9]{40}")
    ),
    *_prefixed("snyk_token", ("snyk_uat.", r"[a-f0-9]{8}\.[\w.-]{30,}")),
    *_prefixed("snyk_token", ("snyk_sat.", r"[a-f0-9]{8}\.[\w.-]{30,}")),
    *_prefixed("supabase_token", ("sbp_", r"[a-f0-9]{40}"), ("sb_secret_", r"[\w-]{22,}")),
    *_prefixed(
        "tailscale_key",
        *(
            (f"tskey-{use}-", r"[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,}")
            for use in ("auth", "api", "client", "webhook", "scim")
        ),
    ),
    _shape(
        "teams_webhook",
        "webhook.office.com/",
        r"webhook\.office\.com/webhook(?:b2)?/[\w@-]+/IncomingWebhook/[\w/-]+",
    ),
    *_prefixed("tencent_key", ("AKID", r"[A-Za-z0-9]{32}(?!\w)")),
    _shape(
        "terraform_token",
        ".atlasv1.",
        r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,}",
        r"\.atlasv0\.[\w=-]{60}",
    ),
    *_prefixed("typeform_token", ("tfp_", rf"{_MIXED}[\w-]{{40,}}")),
    _shape(
        "airtable_token", "pat", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}", r"pat[a-z0]{14}\.[a-f0]{64}"
    ),
    _shape(
        "asana_token",
        ":",
        r"\d/\d{16}(?:/\d{16})?:[a-f0-9]{32}(?!\w)",
        r":[a-f0]{32}(?<=/0{16}:[a-f0]{32})",
    ),
    *_prefixed("vault_token", ("hvr.", r"[\w-]{24,}")),
    *_prefixed("vercel_token", *((f"vc{use}_", r"[A-Za-z0-9]{56}(?!\w)") for use in "pkiar")),
    *_prefixed("wakatime_key", ("waka_", _ID)),
    *_prefixed("yandex_key", ("AQVN", r"[\w-]{35,38}(?![\w-])")),
    *_prefixed("yandex_token", ("t1.", r"[\w-]{20,}={0,2}\.[\w-]{86}={0,2}")),
    _shape(
        "zapier_webhook",
        "hooks.zapier.com/",
        r"hooks\.zapier\.com/hooks/catch/\d+/\w+",
    ),
    *_prefixed("zuplo_key", ("zpka_", r"[A-Za-z0-9_]{32,}")),
    # In the URL of a call the word "bot" stands right before it.
    Shape("telegram_token", ":aa", re.compile(r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])", re.ASCII)),
)

MAY_BE_SHAPE = re.compile(
    by_first_character(
        dict.fromkeys(
            shape.look.pattern if shape.look else re.escape(shape_of(shape.needle).decode())
            for shape in SHAPES
        )
    )
)
"""Searches a text's shape for a piece of any of these credentials."""

SHORTEST = 13
"""Characters of the shortest of these credentials; none has white space in it."""

_BLANK = r"(?: |\+|%20)"  # in the query of a URL
_PEM_NAME = (
    rf"(?:[A-Z0-9]{{1,20}}{_BLANK}){{0,3}}PRIVATE{_BLANK}KEY(?:{_BLANK}BLOCK)?-----"
    r"|SSH2 ENCRYPTED PRIVATE KEY ----"
)
_PEM = re.compile(rf"-{{4,5}} ?(?P<edge>BEGIN|END){_BLANK}(?:{_PEM_NAME})")
_REST_OF_KEY = re.compile(r"(?:[A-Za-z0-9+/=]|\r?\n|[nr]\\)*")
"""What stands before the end of a key whose beginning was cut, read backwards."""

_MAX_KEY = 16_384

# Up to the last @ before the path: a password may hold one that nobody encoded.
_URL_PASSWORD = re.compile(
    r"(?:(?<=://)|(?<=:\\/\\/)|(?<=netloc=['\"]))([^\s/?#:@\"'<>\[]*:)([^\s/?#\"'<>]+)"
    r"(?=@(?!sha256:))"
)
# What follows the colon is no port, so that it is a password, with a character in it that ends
# the address.
_URL_BAD_PASSWORD = re.compile(
    r"(?<=://)([^\s/?#:@\"'<>\[]*:)"
    r"(?!\d{0,5}[/?#]|\[redacted:)([^\s/?#@\"'<>]{0,128}[/?#][^\s@\"'<>]{0,128})"
    r"(?=@[\w.-]{1,255}(?:[:/?]|[^\w@]|\Z))"
)
_ENCODED_URL_PASSWORD = re.compile(
    r"(?<=%3[aA]%2[fF]%2[fF])([\w.~+-]{0,128}%3[aA])([\w.~+*!%-]{1,256}?)(?=%40)"
)
# An API's key as the user: `https://<token>@host`, `https://<token>:@host`.
_URL_TOKEN = re.compile(
    r"(?<=://)()(?=[^\s@]{0,200}\d)(?=[^\s@a-zA-Z]{0,200}[a-zA-Z])"
    r"(\w{16,200}(?=:?@)|[\w-]{32,200}(?=:?@)|\w{8,200}(?=:@))"
)

# The scheme's name is part of many sentences. What follows it must look like a token:
# long enough, with a digit in it.
_BEARER = re.compile(
    r"((?i:\bbearer)(?:[ \t]{1,4}|\+|%20))(?=[\w.~+/-]{0,100}\d)([\w.~+/-]{12,}=*)", re.ASCII
)
_BASIC = re.compile(r"((?i:\bbasic)(?:[ \t]{1,4}|\+|%20))([A-Za-z0-9+/_-]{4,}={0,2})", re.ASCII)


def redact_credentials(text: str, low: str, allowed: Callable[[str], bool]) -> str:
    """Replace credentials in a text.

    Args:
        text: What to look through.
        low: The same in lower case.
        allowed: Says of a credential found whether it may stay.
    """
    if "private" in low or "ssh2 encrypted" in low:
        text = _redact_private_keys(text)
    with_user = "@" in low and ("://" in low or ":\\/\\/" in low or "netloc=" in low)
    if with_user:
        text = _sub_second(_URL_PASSWORD, "password", text, allowed)
        text = _sub_second(_URL_BAD_PASSWORD, "password", text, allowed)
    if "%3a%2f%2f" in low:
        text = _sub_second(_ENCODED_URL_PASSWORD, "password", text, allowed)
    long = " ".join([word for word in low.split() if len(word) >= SHORTEST])
    shape = shape_of(long).decode("utf-8", "surrogatepass")
    if MAY_BE_SHAPE.search(shape):
        for kind, needle, pattern, look in SHAPES:
            if needle in long and (look is None or look.search(shape)):
                text = _sub(pattern, kind, text, allowed)
    return _sub_second(_URL_TOKEN, "token", text, allowed) if with_user else text


def redact_schemes(text: str, low: str, allowed: Callable[[str], bool]) -> str:
    """Replace what follows `Bearer` and `Basic` in a text, when it is a credential."""
    if "bearer" in low:
        text = _sub_second(_BEARER, "bearer", text, allowed)
    if "basic" in low:
        text = _sub_second(
            _BASIC, "basic", text, lambda found: allowed(found) or not _is_user_and_password(found)
        )
    return text


def _sub(pattern: re.Pattern[str], kind: str, text: str, allowed: Callable[[str], bool]) -> str:
    return pattern.sub(
        lambda found: found[0] if allowed(found[0]) or is_placeholder(found[0]) else marker(kind),
        text,
    )


def _sub_second(
    pattern: re.Pattern[str], kind: str, text: str, allowed: Callable[[str], bool]
) -> str:
    """Replace a pattern's second group, which follows the first one directly."""
    return pattern.sub(
        lambda found: found[0] if allowed(found[2]) else found[1] + marker(kind), text
    )


def _redact_private_keys(text: str) -> str:
    parts = []
    done = 0
    begin: int | None = None
    for edge in _PEM.finditer(text):
        if edge["edge"] == "BEGIN":
            begin = edge.start() if begin is None else begin
            continue
        if begin is None:
            before = text[max(done, edge.start() - _MAX_KEY) : edge.start()]
            rest = _REST_OF_KEY.match(before[::-1])
            begin = edge.start() - (rest.end() if rest else 0)
        parts += [text[done:begin], marker("private_key")]
        done, begin = edge.end(), None
    if begin is not None:
        # A key that was cut has no last line; what follows its first one is all key.
        parts += [text[done:begin], marker("private_key")]
        done = len(text)
    return "".join([*parts, text[done:]])


def _is_user_and_password(encoded: str) -> bool:
    """Tell `Basic dXNlcjpwdw==` from `Basic authentication`: by what it decodes to."""
    bare = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        return False
    return b":" in decoded and min(decoded) >= 0x20
