"""What can go wrong, and what each fault means to a client or to the person who starts the server.

    AskdError
    ├── Problem                     an exchange failed; rendered as RFC 9457 problem+json
    │   ├── BadQuestion        400  the question or a parameter is faulty
    │   ├── Unauthorized       401  no token, or one that is not known
    │   ├── NoAnswer           404  the answerer has no answer; may suggest others
    │   ├── NotFound           404  no such path
    │   ├── MethodNotAllowed   405  the path exists, the method does not
    │   ├── NotAcceptable      406  no representation that the client accepts
    │   ├── RequestTimeout     408  the body did not come in its time
    │   ├── Interrupted        409  the graph asks something before it can go on
    │   ├── BodyTooLarge       413  the body is over the limit
    │   ├── Unsupported        415  a body of a media type that is not read
    │   ├── ExpectationFailed  417  an Expect other than 100-continue
    │   ├── TooManyRequests    429  the client has used up its rate
    │   ├── Refused            4xx  the user's code refused, with a status of its own
    │   ├── AnswererFailed     500  the user's code failed; its text stays in the log
    │   │   └── RecursionLimit      the graph came to no end within its steps
    │   ├── InternalError      500  askd itself failed; the text stays in the log
    │   ├── UpstreamFailed     502  the server behind askd failed, or its answer is none
    │   ├── Looped             508  the question came back to askd that sent it
    │   ├── Unavailable        503  not now: starting or draining
    │   │   └── Overloaded              more is asked than can be answered in time
    │   ├── DeadlineExceeded   504  the answer was not there in its time
    │   └── NotCached          504  only what is in the cache was asked for, and it is not there
    └── StartupError                one or more lines for a person, exit code 2
        ├── SettingsError           faulty settings, all of them at once
        ├── SpecError               the answerer's spec leads nowhere
        ├── LoadError               the answerer was found and could not be loaded
        └── ListenError             an address cannot be listened on

`code` is the stable name of a problem: the last part of its `type`, the anchor of its description in `/docs`.
"""

from service.errors.base import AskdError, Problem
from service.errors.client import (
    BadQuestion,
    BodyTooLarge,
    ExpectationFailed,
    Interrupted,
    MethodNotAllowed,
    NoAnswer,
    NotAcceptable,
    NotFound,
    Refused,
    RequestTimeout,
    TooManyRequests,
    Unauthorized,
    Unsupported,
)
from service.errors.server import (
    AnswererFailed,
    DeadlineExceeded,
    InternalError,
    Looped,
    NotCached,
    Overloaded,
    RecursionLimit,
    Unavailable,
    UpstreamFailed,
)
from service.errors.startup import ListenError, LoadError, SettingsError, SpecError, StartupError

__all__ = [
    "AnswererFailed",
    "AskdError",
    "BadQuestion",
    "BodyTooLarge",
    "DeadlineExceeded",
    "ExpectationFailed",
    "InternalError",
    "Interrupted",
    "ListenError",
    "LoadError",
    "Looped",
    "MethodNotAllowed",
    "NoAnswer",
    "NotAcceptable",
    "NotCached",
    "NotFound",
    "Overloaded",
    "Problem",
    "RecursionLimit",
    "Refused",
    "RequestTimeout",
    "SettingsError",
    "SpecError",
    "StartupError",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "UpstreamFailed",
]
