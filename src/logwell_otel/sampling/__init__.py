"""Keeps fewer records, the right ones, and says how many each of them stands for."""

from logwell_otel._wire import RATE_ATTRIBUTE
from logwell_otel.sampling.policy import Policy
from logwell_otel.sampling.policy_file import PolicyFile
from logwell_otel.sampling.policy_server import PolicyServer
from logwell_otel.sampling.processor import SamplingLogRecordProcessor
from logwell_otel.sampling.rules import DEFAULT_RATES, SamplingRules
from logwell_otel.sampling.sampler import Decision, Sampler
from logwell_otel.sampling.signature import client_signature, pattern, server_signature, signature

__all__ = [
    "DEFAULT_RATES",
    "RATE_ATTRIBUTE",
    "Decision",
    "Policy",
    "PolicyFile",
    "PolicyServer",
    "Sampler",
    "SamplingLogRecordProcessor",
    "SamplingRules",
    "client_signature",
    "pattern",
    "server_signature",
    "signature",
]
