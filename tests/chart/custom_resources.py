"""Forms of the custom resources that the chart makes, closed and only as far as it makes them.

From the API references of the Gateway API v1, KEDA 2 and the Prometheus operator.
"""

from typing import Any, Final

import jsonschema

_TEXT: Final = {"type": "string", "minLength": 1}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_FREE: Final = {"type": "object"}


def _closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **optional},
    }


def _list(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, **more}


_DURATION: Final = {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
_MATCH: Final = _closed(
    {"path": _closed({"type": {"enum": ["PathPrefix"]}, "value": {"type": "string", "pattern": "^/"}})},
    headers=_list(_closed({"type": {"enum": ["Exact"]}, "name": _TEXT, "value": _TEXT})),
)
_ROUTE: Final = _closed(
    {
        "parentRefs": _list(_FREE, maxItems=32),
        "rules": _list(
            _closed(
                {
                    "matches": _list(_MATCH),
                    "timeouts": _closed({"request": _DURATION}),
                    "backendRefs": _list(_closed({"name": _TEXT, "port": _NUMBER})),
                }
            ),
            maxItems=16,
        ),
    },
    hostnames=_list(_TEXT),
)
_TRIGGER: Final = _closed(
    {
        "type": {"enum": ["cpu", "prometheus"]},
        "metricType": {"enum": ["AverageValue"]},
        "metadata": {"type": "object", "additionalProperties": _TEXT},
    },
    authenticationRef=_closed({"name": _TEXT}),
)
_TARGET: Final = _closed({"apiVersion": _TEXT, "kind": _TEXT, "name": _TEXT})
_SCALED: Final = _closed(
    {
        "scaleTargetRef": _TARGET,
        "minReplicaCount": _NUMBER,
        "maxReplicaCount": _NUMBER,
        "pollingInterval": _NUMBER,
        "advanced": _closed(
            {
                "restoreToOriginalReplicaCount": {"type": "boolean"},
                "horizontalPodAutoscalerConfig": _closed({"behavior": _FREE}),
            }
        ),
        "triggers": _list(_TRIGGER),
    },
    fallback=_closed(
        {"failureThreshold": _NUMBER, "replicas": _NUMBER, "behavior": {"enum": ["static", "currentReplicasIfHigher"]}}
    ),
)
_ENDPOINT: Final = _closed({"port": _TEXT, "path": _TEXT}, interval=_DURATION)
_SELECTOR: Final = _closed({"matchLabels": {"type": "object", "additionalProperties": _TEXT}})
_RULE: Final = {"type": "object", "required": ["expr"], "anyOf": [{"required": ["alert"]}, {"required": ["record"]}]}

SPECS: Final = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _ROUTE,
    ("keda.sh/v1alpha1", "ScaledObject"): _SCALED,
    ("monitoring.coreos.com/v1", "PodMonitor"): _closed(
        {"selector": _SELECTOR, "podMetricsEndpoints": _list(_ENDPOINT)}
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _closed({"selector": _SELECTOR, "endpoints": _list(_ENDPOINT)}),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _closed(
        {"groups": _list(_closed({"name": _TEXT, "rules": _list(_RULE)}, interval=_DURATION))}
    ),
}


def validate(found: dict[str, Any]) -> None:
    """Raise jsonschema.ValidationError where a custom resource has not its form, KeyError where it is none of these."""
    jsonschema.validate(found["spec"], SPECS[found["apiVersion"], found["kind"]])
