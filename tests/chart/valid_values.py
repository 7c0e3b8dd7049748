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

_HEADER_FILTER: Final = {
    "type": "RequestHeaderModifier",
    "requestHeaderModifier": {"set": [{"name": "X-Tenant", "value": "a"}]},
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
    "pull secrets": {
        "imagePullSecrets": ["one", {"name": "two"}],
        "global": {"imagePullSecrets": [{"name": "one"}, "three"]},
    },
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
    "worker processes": {
        "settings": {"processes": 2, "workerMaxRequests": 1000, "workerMaxMemory": "256MiB", "killDelay": "1s"},
        "autoscaling": {"enabled": True},
    },
    "worker processes by the CPU limit": {
        "settings": {"processes": "auto"},
        "resources": {"limits": {"cpu": "3500m"}},
        "autoscaling": {"enabled": True, "type": "keda"},
    },
    "worker processes with resources": {
        "settings": {"processes": 2},
        "resources": {"requests": {"cpu": "500m"}},
        "autoscaling": {"enabled": True, "cpu": {"averageValue": "1"}},
    },
    "another askd": {"answerer": {"spec": "ask+https://other.example.org"}},
    "tokens": {"auth": {"existingSecret": "tokens"}},
    "tls": {"tls": {"existingSecret": "certificate"}},
    "mcp": {
        "mcp": {"existingSecret": "mcp", "key": "key"},
        "service": {"appProtocol": "mcp", "labels": {"kagent.dev/mcp-service": "true"}},
    },
    "redis": {"redis": {"existingSecret": "redis", "key": "address", "port": 6380}},
    "settings": {
        "auth": {"existingSecret": "tokens"},
        "settings": {
            "deterministic": True,
            "threads": 1,
            "graph": "agent",
            "graphInputKey": "q",
            "graphOutputKey": "a",
            "graphMemory": "sqlite:/data/threads.db",
            "bookThreshold": 0.8,
            "upstreamAuthorization": "/etc/askd/authorization",
            "readinessRequiresUpstream": True,
            "questionMaxLength": 1000000,
            "bodyMaxSize": 1048576,
            "headMaxSize": "16KiB",
            "unsentMaxSize": "64MiB",
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
            "formats": ["ask", "mcp"],
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
    "headless service": {"service": {"clusterIP": "None", "port": 2024}},
    "service fields": {
        "service": {
            "labels": {"exposed": "yes"},
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
            "internalTrafficPolicy": "Local",
        }
    },
    "ops": {"ops": {"port": 9090, "annotations": {"a": "b"}}},
    "no resources": {"resources": {"requests": None, "limits": None}},
    "large": {
        "resources": {"limits": {"memory": "2Gi"}},
        "settings": {"cacheSize": "1GiB"},
        "tmp": {"sizeLimit": "1Gi"},
    },
    "hpa": {"autoscaling": {"enabled": True}},
    "hpa on everything": {
        "autoscaling": {
            "enabled": True,
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
    "hpa without cpu": {
        "autoscaling": {"enabled": True, "cpu": {"averageValue": None}, "saturation": {"enabled": True}}
    },
    "keda": {
        "autoscaling": {
            "enabled": True,
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
    "keda on cpu": {"autoscaling": {"enabled": True, "type": "keda"}},
    "slow start": {
        "startupProbe": {"failureThreshold": 3600, "initialDelaySeconds": 5},
        "strategy": {"rollingUpdate": {"maxSurge": 1}},
        "minReadySeconds": 30,
        "revisionHistoryLimit": 10,
    },
    "no preStop": {"stop": {"preStop": 0}},
    "hooks": {
        "lifecycle": {"preStop": {"sleep": {"seconds": 20}}, "postStart": {"exec": {"command": ["true"]}}},
        "terminationGracePeriodSeconds": 600,
    },
    "no probes": {"livenessProbe": {"enabled": False}, "readinessProbe": {"enabled": False}},
    "other probes": {
        "livenessProbe": {"periodSeconds": 20},
        "readinessProbe": {"periodSeconds": 1, "failureThreshold": 5, "successThreshold": 2},
    },
    "no budget": {"podDisruptionBudget": {"enabled": False}},
    "budget in percent": {"replicaCount": 10, "podDisruptionBudget": {"maxUnavailable": "20%"}},
    "available budget": {
        "replicaCount": 3,
        "podDisruptionBudget": {"minAvailable": 2, "unhealthyPodEvictionPolicy": "IfHealthyBudget"},
    },
    "recreate": {"strategy": {"type": "Recreate"}},
    "no room for one more pod": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}},
    "named account": {"serviceAccount": {"name": "me", "annotations": {"a": "b"}}},
    "existing account": {"serviceAccount": {"create": False, "name": "other"}},
    "default account": {"serviceAccount": {"create": False}},
    "labels": {
        "commonLabels": {"team": "answers", "app.kubernetes.io/part-of": "site", "app.kubernetes.io/name": "ignored"},
        "commonAnnotations": {"owner": "me", "year": 2026},
        "deploymentAnnotations": {"a": "b"},
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
    "pod fields": {
        "schedulerName": "batch",
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.1"], "options": [{"name": "ndots", "value": 2}, {"name": "edns0"}]},
        "hostAliases": [{"ip": "192.0.2.2", "hostnames": ["models.example.org"]}],
        "extraArgs": ["--env-file", "/etc/more.env"],
        "podSpecExtra": {"shareProcessNamespace": True, "hostUsers": True},
        "serviceAccount": {"labels": {"a": "b"}},
    },
    "another namespace": {"namespaceOverride": "there"},
    "extras": {
        "extraEnv": [
            {"name": "OPENAI_BASE_URL", "value": "http://models"},
            {"name": "RETRIES", "value": 3},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
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
            "tls": [{"secretName": "cert"}],
            "labels": {"public": True},
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
            "labels": {"public": True},
        }
    },
    "custom routes": {
        "ingress": {
            "enabled": True,
            "hosts": [
                {"host": "a.example.org", "paths": ["/ask", {"path": "/docs", "pathType": "Exact"}]},
                {"host": "b.example.org"},
            ],
            "tls": [{"secretName": "cert", "hosts": ["a.example.org"]}],
        },
        "httpRoute": {
            "enabled": True,
            "parentRefs": [{"name": "public"}],
            "rules": [
                {"matches": [{"path": {"type": "Exact", "value": "/ask"}}]},
                {"timeouts": {"request": "5s"}, "filters": [_HEADER_FILTER]},
            ],
        },
    },
    "route filters": {
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "path": "/faq", "filters": [_HEADER_FILTER]}
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
    "pod monitor": {"podMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}}},
    "service monitor": {"serviceMonitor": {"enabled": True, "interval": "15s"}},
    "monitor in another namespace": {
        "podMonitor": {
            "enabled": True,
            "namespace": "monitoring",
            "annotations": {"a": "b"},
            "scrapeTimeout": "5s",
            "honorLabels": True,
            "relabelings": [{"targetLabel": "team", "replacement": "answers"}],
            "metricRelabelings": [{"action": "drop", "regex": "python_gc_.*", "sourceLabels": ["__name__"]}],
        },
        "prometheusRule": {"enabled": True, "namespace": "monitoring"},
    },
    "rules": {
        "prometheusRule": {
            "enabled": True,
            "job": "askd",
            "groups": [{"name": "mine", "rules": [{"alert": "Down", "expr": "up == 0"}]}],
        }
    },
    "dashboards": {
        "grafanaDashboard": {"enabled": True, "annotations": {"grafana_folder": "askd"}, "files": {"mine.json": "{}"}}
    },
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
