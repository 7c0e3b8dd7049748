"""Validation of objects: by the schemas of Kubernetes, and by those of the chart's custom resources.

The latter allow only the fields that the chart uses.

Sources: API references of the Gateway API v1, KEDA 2 and the Prometheus operator.
"""

import functools
import json
from typing import Any, Final

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils

# Without the cache, each object would read two megabytes of definitions again.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

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
    {"path": _closed_object({"type": {"enum": ["PathPrefix", "Exact"]}, "value": {"type": "string", "pattern": "^/"}})},
    headers=_list(_closed_object({"type": {"enum": ["Exact"]}, "name": _TEXT, "value": _TEXT})),
)
_ROUTE: Final = _closed_object(
    {
        "parentRefs": _list(_ANY_OBJECT, maxItems=32),
        "rules": _list(
            _closed_object(
                {
                    "timeouts": _closed_object({"request": _DURATION}),
                    "backendRefs": _list(_closed_object({"name": _TEXT, "port": _NUMBER})),
                },
                matches=_list(_MATCH),
                filters=_list({"type": "object", "required": ["type"]}),
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
_ENDPOINT: Final = _closed_object(
    {"port": _TEXT, "path": _TEXT},
    interval=_DURATION,
    scrapeTimeout=_DURATION,
    honorLabels={"type": "boolean"},
    relabelings=_list(_ANY_OBJECT),
    metricRelabelings=_list(_ANY_OBJECT),
)
_NAMESPACES: Final = _closed_object({"matchNames": _list(_TEXT)})
_SELECTOR: Final = _closed_object({"matchLabels": {"type": "object", "additionalProperties": _TEXT}})
_RULE: Final = {"type": "object", "required": ["expr"], "anyOf": [{"required": ["alert"]}, {"required": ["record"]}]}

SPEC_SCHEMAS: Final = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _ROUTE,
    ("keda.sh/v1alpha1", "ScaledObject"): _SCALED,
    ("monitoring.coreos.com/v1", "PodMonitor"): _closed_object(
        {"selector": _SELECTOR, "podMetricsEndpoints": _list(_ENDPOINT)}, namespaceSelector=_NAMESPACES
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _closed_object(
        {"selector": _SELECTOR, "endpoints": _list(_ENDPOINT)}, namespaceSelector=_NAMESPACES
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _closed_object(
        {"groups": _list(_closed_object({"name": _TEXT, "rules": _list(_RULE)}, interval=_DURATION))}
    ),
}


def validate_resource(resource: dict[str, Any], version: str) -> None:
    """Validate an object for a version of Kubernetes such as `1.37`, without unknown fields.

    Raises:
        jsonschema.ValidationError: The object is invalid.
        KeyError: The kind is unknown.
    """
    if schema := SPEC_SCHEMAS.get((resource["apiVersion"], resource["kind"])):
        jsonschema.validate(resource["spec"], schema)
    else:
        _validate_builtin(json.dumps(resource, sort_keys=True), version)


@functools.lru_cache(maxsize=10_000)
def _validate_builtin(text: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(text), version, strict=True)
