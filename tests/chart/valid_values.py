"""Valid values by name, which together use every option of the chart."""

from typing import Any, Final

from tools.chart.helm import RenderedChart, render_chart

CODE_ANSWERER: Final = {"spec": "answer.py:answer", "files": {"answer.py": "def answer(q):\n    return q\n"}}
SIDECAR: Final = {
    "name": "proxy",
    "image": "proxy:1",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    },
}

VALID_VALUES: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "null replicas": {"replicaCount": None},
    "no replica": {"replicaCount": 0},
    "one replica": {"replicaCount": 1},
    "many replicas": {"replicaCount": 1000},
    "image": {
        "image": {"registry": "registry.example.org/", "repository": "team/askd", "tag": "1.2", "pullPolicy": "Always"}
    },
    "digest": {"image": {"digest": "sha256:" + "0" * 64}},
    "tag and digest": {"image": {"tag": "1.2", "digest": "sha256:" + "0" * 64}},
    "pull secrets": {"image": {"pullSecrets": ["one", "two"]}},
    "global registry": {
        "global": {"imageRegistry": "mirror.example.org"},
        "image": {"registry": "ignored.example.org"},
    },
    "enabled": {"enabled": True},
    "names": {"nameOverride": "answers", "fullnameOverride": "my-answers"},
    "files": {"answerer": CODE_ANSWERER},
    "files with a default name": {"answerer": {"files": CODE_ANSWERER["files"]}},
    "network policy without a spec": {
        "networkPolicy": {"enabled": True},
        "answerer": {"existingConfigMap": "a"},
    },
    "book in files": {"answerer": {"spec": "faq.yaml", "files": {"faq.yaml": "- {ask: [a], answer: b}\n"}}},
    "existing configmap": {"answerer": {"spec": "faq.yaml", "existingConfigMap": "books"}},
    "volume": {"answerer": {"spec": "answer.py:answer", "volume": {"persistentVolumeClaim": {"claimName": "code"}}}},
    "environment from a secret": {"answerer": {**CODE_ANSWERER, "existingSecret": "keys"}},
    "custom image": {"answerer": {"spec": "package.module:attr"}},
    "langgraph server": {
        "answerer": {"spec": "http://graph:2024#agent", "upstreamKey": {"existingSecret": "k", "key": "x"}}
    },
    "another askd": {"answerer": {"spec": "ask+https://other.example.org"}},
    "tokens": {"auth": {"existingSecret": "tokens"}},
    "tls": {"tls": {"existingSecret": "certificate"}},
    "redis": {"redis": {"existingSecret": "redis", "key": "address", "port": 6380}},
    "settings": {
        "auth": {"existingSecret": "tokens"},
        "settings": {
            "deterministic": True,
            "threads": 1,
            "graphInputKey": "q",
            "graphOutputKey": "a",
            "graphMemory": "sqlite:/data/threads.db",
            "upstreamAuthorization": "/etc/askd/authorization",
            "readinessRequiresUpstream": True,
            "questionMaxLength": 1000000,
            "bodyMaxSize": 1048576,
            "deadline": 1.5,
            "streamDeadline": "1h",
            "concurrency": 8,
            "queueSize": 0,
            "queueTargetDelay": "20ms",
            "cacheSize": 0,
            "cacheTtl": "1h",
            "rateLimit": "100/s",
            "rateBurst": 200,
            "trustedProxies": ["10.0.0.0/8", "2001:db8::/32"],
            "docsRequireToken": True,
            "maxConnections": 100000,
            "headerTimeout": 1,
            "bodyTimeout": 1,
            "writeTimeout": 1,
            "keepaliveTimeout": "2m",
            "connectionMaxAge": 0,
            "prefix": "/answers",
            "corsOrigins": ["https://example.org", "*"],
            "logLevel": "debug",
            "logFormat": "json",
            "logQuestions": True,
            "logSample": 0.01,
            "latencyBuckets": [0.1, "1s"],
            "stallTimeout": "1m",
            "drainDelay": 0,
            "drainTimeout": "90s",
            "shutdownTimeout": "500ms",
            "flushTimeout": 0,
            "reload": True,
        },
    },
    "node port": {"service": {"type": "NodePort", "nodePort": 30080, "externalTrafficPolicy": "Local"}},
    "load balancer": {
        "service": {
            "type": "LoadBalancer",
            "port": 443,
            "loadBalancerClass": "example.org/lb",
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "annotations": {"a": "b"},
        }
    },
    "dual stack": {"service": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}},
    "single stack": {"service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]}},
    "traffic": {"service": {"trafficDistribution": "PreferClose"}},
    "ops": {"ops": {"port": 9090, "annotations": {"a": "b"}}},
    "no resources": {"resources": {"requests": None, "limits": None}},
    "large": {
        "resources": {"limits": {"memory": "2Gi"}},
        "settings": {"cacheSize": "1GiB"},
        "tmp": {"sizeLimit": "1Gi"},
    },
    "hpa": {"autoscaling": {"type": "hpa"}},
    "hpa on everything": {
        "autoscaling": {
            "type": "hpa",
            "minReplicas": 1,
            "maxReplicas": 4,
            "saturation": {"enabled": True, "target": 0.5},
            "tolerance": 0.05,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "300Mi"}},
                }
            ],
        }
    },
    "hpa without cpu": {"autoscaling": {"type": "hpa", "cpu": {"averageValue": None}, "saturation": {"enabled": True}}},
    "keda": {
        "autoscaling": {
            "type": "keda",
            "saturation": {"enabled": True},
            "tolerance": 0,
            "keda": {
                "serverAddress": "http://prometheus:9090",
                "authenticationRef": "credentials",
                "fallbackReplicas": 4,
            },
        }
    },
    "keda on cpu": {"autoscaling": {"type": "keda"}},
    "slow start": {
        "startup": {"budget": 3600},
        "strategy": {"minReadySeconds": 30, "maxSurge": 1, "revisionHistoryLimit": 10},
    },
    "no preStop": {"stop": {"preStop": 0}},
    "no probes": {"probes": {"liveness": {"enabled": False}, "readiness": {"enabled": False}}},
    "other probes": {
        "probes": {"liveness": {"periodSeconds": 20}, "readiness": {"periodSeconds": 1, "failureThreshold": 5}}
    },
    "no budget": {"podDisruptionBudget": {"enabled": False}},
    "budget in percent": {"replicaCount": 10, "podDisruptionBudget": {"maxUnavailable": "20%"}},
    "named account": {"serviceAccount": {"name": "me", "annotations": {"a": "b"}}},
    "existing account": {"serviceAccount": {"create": False, "name": "other"}},
    "default account": {"serviceAccount": {"create": False}},
    "labels": {
        "labels": {"team": "answers", "app.kubernetes.io/part-of": "site", "app.kubernetes.io/name": "ignored"},
        "annotations": {"a": "b"},
        "podLabels": {"pod": "yes", "app.kubernetes.io/instance": "ignored"},
        "podAnnotations": {"sidecar": "no", "prometheus.io/port": "1"},
    },
    "openshift": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
    "scheduling": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "topologySpreadConstraints": [],
        "priorityClassName": "high",
        "runtimeClassName": "gvisor",
    },
    "custom spread": {
        "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]
    },
    "extras": {
        "extraEnv": [{"name": "OPENAI_BASE_URL", "value": "http://models"}],
        "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
        "extraVolumes": [{"name": "models", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "models", "mountPath": "/models"}],
        "initContainers": [{**SIDECAR, "name": "fetch"}, {**SIDECAR, "name": "sidecar", "restartPolicy": "Always"}],
        "extraContainers": [SIDECAR],
        "extraObjects": [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "one"},
                "data": {"release": "{{ .Release.Name }}"},
            },
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-two\n",
        ],
    },
    "ingress": {
        "ingress": {
            "enabled": True,
            "className": "public",
            "hosts": ["a.example.org", "b.example.org"],
            "tlsSecret": "cert",
            "annotations": {"a": "b"},
        }
    },
    "ingress for all": {"ingress": {"enabled": True, "path": "/q"}, "settings": {"prefix": "/q"}},
    "http route": {
        "httpRoute": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "gateways"}],
            "hostnames": ["a.example.org"],
            "annotations": {"a": "b"},
        }
    },
    "network policy": {"networkPolicy": {"enabled": True}},
    "network policy for redis": {"networkPolicy": {"enabled": True}, "redis": {"existingSecret": "redis"}},
    "network policy for code": {"networkPolicy": {"enabled": True}, "answerer": CODE_ANSWERER},
    "network policy for a server": {
        "networkPolicy": {"enabled": True},
        "answerer": {"spec": "http://graph:2024#agent"},
    },
    "network policy for https": {"networkPolicy": {"enabled": True}, "answerer": {"spec": "https://graph.example.org"}},
    "network policy for telemetry": {
        "networkPolicy": {"enabled": True},
        "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://otel:4317"}],
    },
    "custom network policy": {
        "networkPolicy": {
            "enabled": True,
            "from": [{"podSelector": {}}],
            "opsFrom": [{"namespaceSelector": {}}],
            "egress": [],
        }
    },
    "pod monitor": {
        "metrics": {"podMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}}}
    },
    "service monitor": {"metrics": {"serviceMonitor": {"enabled": True, "interval": "15s"}}},
    "rules": {
        "metrics": {
            "rules": {
                "enabled": True,
                "job": "askd",
                "groups": [{"name": "mine", "rules": [{"alert": "Down", "expr": "up == 0"}]}],
            }
        }
    },
    "dashboards": {"metrics": {"dashboards": {"enabled": True, "files": {"mine.json": "{}"}}}},
    "tests with a token": {
        "auth": {"existingSecret": "tokens"},
        "tests": {"question": "who?", "tokenSecret": "tester", "tokenKey": "t"},
    },
    "every secret": {
        "answerer": {**CODE_ANSWERER, "existingSecret": "keys"},
        "auth": {"existingSecret": "tokens"},
        "tls": {"existingSecret": "c"},
        "redis": {"existingSecret": "redis"},
    },
}


def render_case(name: str, **values: object) -> RenderedChart:
    """Render a valid case, with additional values."""
    return render_chart({**VALID_VALUES[name], **values})
