"""Schemas of the chart's custom resources, which allow only the fields that the chart uses.

Sources: API references of the Gateway API v1, KEDA 2 and the Prometheus operator.
"""

from typing import Any, Final

import jsonschema

_TEXT: Final = {"type": "string", "minLength": 1}
_NUMBER: Final = {"type": "integer", "minimum": 0}
_ANY_OBJECT: Final = {"type": "object"}


def _closed_object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **optional},
    }


def _list(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, **more}


_DURATION: Final = {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
_MATCH: Final = _closed_object(
    {"path": _closed_object({"type": {"enum": ["PathPrefix"]}, "value": {"type": "string", "pattern": "^/"}})},
    headers=_list(_closed_object({"type": {"enum": ["Exact"]}, "name": _TEXT, "value": _TEXT})),
)
_ROUTE: Final = _closed_object(
    {
        "parentRefs": _list(_ANY_OBJECT, maxItems=32),
        "rules": _list(
            _closed_object(
                {
                    "matches": _list(_MATCH),
                    "timeouts": _closed_object({"request": _DURATION}),
                    "backendRefs": _list(_closed_object({"name": _TEXT, "port": _NUMBER})),
                }
            ),
            maxItems=16,
        ),
    },
    hostnames=_list(_TEXT),
)
_TRIGGER: Final = _closed_object(
    {
        "type": {"enum": ["cpu", "prometheus"]},
        "metricType": {"enum": ["AverageValue"]},
        "metadata": {"type": "object", "additionalProperties": _TEXT},
    },
    authenticationRef=_closed_object({"name": _TEXT}),
)
_TARGET: Final = _closed_object({"apiVersion": _TEXT, "kind": _TEXT, "name": _TEXT})
_SCALED: Final = _closed_object(
    {
        "scaleTargetRef": _TARGET,
        "minReplicaCount": _NUMBER,
        "maxReplicaCount": _NUMBER,
        "pollingInterval": _NUMBER,
        "advanced": _closed_object(
            {
                "restoreToOriginalReplicaCount": {"type": "boolean"},
                "horizontalPodAutoscalerConfig": _closed_object({"behavior": _ANY_OBJECT}),
            }
        ),
        "triggers": _list(_TRIGGER),
    },
    fallback=_closed_object(
        {"failureThreshold": _NUMBER, "replicas": _NUMBER, "behavior": {"enum": ["static", "currentReplicasIfHigher"]}}
    ),
)
_ENDPOINT: Final = _closed_object({"port": _TEXT, "path": _TEXT}, interval=_DURATION)
_SELECTOR: Final = _closed_object({"matchLabels": {"type": "object", "additionalProperties": _TEXT}})
_RULE: Final = {"type": "object", "required": ["expr"], "anyOf": [{"required": ["alert"]}, {"required": ["record"]}]}

SPEC_SCHEMAS: Final = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _ROUTE,
    ("keda.sh/v1alpha1", "ScaledObject"): _SCALED,
    ("monitoring.coreos.com/v1", "PodMonitor"): _closed_object(
        {"selector": _SELECTOR, "podMetricsEndpoints": _list(_ENDPOINT)}
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _closed_object(
        {"selector": _SELECTOR, "endpoints": _list(_ENDPOINT)}
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _closed_object(
        {"groups": _list(_closed_object({"name": _TEXT, "rules": _list(_RULE)}, interval=_DURATION))}
    ),
}


def validate_custom_resource(resource: dict[str, Any]) -> None:
    """Validate the spec of a custom resource.

    Raises:
        jsonschema.ValidationError: The spec is invalid.
        KeyError: The kind is unknown.
    """
    jsonschema.validate(resource["spec"], SPEC_SCHEMAS[resource["apiVersion"], resource["kind"]])
