"""What people set first, as they know it from `helm create`, podinfo, traefik, external-secrets and cert-manager.

Each entry is an argument of `helm template`: of `--set-json` if its value is JSON, else of `--set`.
"""

from typing import Final

from askd import __version__

ACCEPTED: Final[list[tuple[str, str]]] = [
    ("replicaCount=3", "replicas: 3"),
    ("replicaCount=0", "replicas: 0"),
    ("replicaCount=null", "kind: Deployment"),
    ("image.tag=1.2.3", 'image: "askd:1.2.3"'),
    ("image.tag=1.10", 'image: "askd:1.10"'),
    ("image.tag=20261130", 'image: "askd:20261130"'),
    ("image.tag=1234e56", 'image: "askd:1234e56"'),
    ("image.repository=registry.example.org/team/askd", f'image: "registry.example.org/team/askd:{__version__}"'),
    ("image.registry=registry.example.org", f'image: "registry.example.org/askd:{__version__}"'),
    ("global.imageRegistry=mirror.example.org", f'image: "mirror.example.org/askd:{__version__}"'),
    ("image.digest=sha256:" + "0" * 64, 'image: "askd@sha256:000'),
    ("image.pullPolicy=Always", "imagePullPolicy: Always"),
    ("imagePullSecrets[0].name=registry", "- name: registry"),
    ("imagePullSecrets={registry}", "- name: registry"),
    ("global.imagePullSecrets[0].name=registry", "- name: registry"),
    ("nameOverride=faq", "name: askd-faq"),
    ("fullnameOverride=faq", "name: faq-ops"),
    ("namespaceOverride=other", "namespace: other"),
    ("commonLabels.team=answers", "team: answers"),
    ("commonLabels.cost-center=4711", 'cost-center: "4711"'),
    ("global.commonLabels.team=answers", "team: answers"),
    ("commonAnnotations.owner=me", "owner: me"),
    ("commonAnnotations.audited=true", 'audited: "true"'),
    ("deploymentAnnotations.reloader\\.stakater\\.com/auto=true", 'reloader.stakater.com/auto: "true"'),
    ("podAnnotations.sidecar\\.istio\\.io/inject=true", 'sidecar.istio.io/inject: "true"'),
    ("podLabels.version=2", 'version: "2"'),
    ("autoscaling.enabled=true", "kind: HorizontalPodAutoscaler"),
    ("autoscaling.enabled=false", "replicas: 2"),
    ("autoscaling.enabled=true,autoscaling.minReplicas=3,autoscaling.maxReplicas=20", "maxReplicas: 20"),
    ("autoscaling.enabled=true,autoscaling.type=keda", "kind: ScaledObject"),
    ("autoscaling.enabled=true,autoscaling.cpu.averageValue=0.5", "averageValue: 0.5"),
    (
        "autoscaling.enabled=true,autoscaling.saturation.enabled=true,autoscaling.saturation.target=0.6",
        "averageValue: 600m",
    ),
    ("autoscaling.enabled=true,autoscaling.tolerance=0.05", 'tolerance: "0.05"'),
    ('autoscaling={"enabled": true, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}', "Seconds: 60"),
    (
        (
            'autoscaling={"enabled": true, "metrics": [{"type": "Resource", "resource": {"name": "memory", '
            '"target": {"type": "AverageValue", "averageValue": "300Mi"}}}]}'
        ),
        "averageValue: 300Mi",
    ),
    ("autoscaling.enabled=true,resources.limits.cpu=1", "cpu: 1"),
    ("autoscaling.enabled=true,autoscaling.saturation.enabled=true,resources.limits.cpu=500m", "cpu: 500m"),
    ("resources.limits.cpu=500m,resources.limits.memory=1Gi", "memory: 1Gi"),
    ("resources.requests.cpu=0.5", 'cpu: "0.5"'),
    ("resources.limits=null", "memory: 128Mi"),
    ("livenessProbe.periodSeconds=20", "periodSeconds: 20"),
    ("livenessProbe.initialDelaySeconds=30", "initialDelaySeconds: 30"),
    ("livenessProbe.enabled=false", "readinessProbe:"),
    ("readinessProbe.failureThreshold=5", "failureThreshold: 5"),
    ("readinessProbe.successThreshold=2", "successThreshold: 2"),
    ("startupProbe.failureThreshold=600", "failureThreshold: 600"),
    ("podDisruptionBudget.enabled=true", "kind: PodDisruptionBudget"),
    ("podDisruptionBudget.minAvailable=1", "minAvailable: 1"),
    ("podDisruptionBudget.minAvailable=50%", "minAvailable: 50%"),
    ("podDisruptionBudget.maxUnavailable=25%", "maxUnavailable: 25%"),
    ("podDisruptionBudget.unhealthyPodEvictionPolicy=IfHealthyBudget", "IfHealthyBudget"),
    ("strategy.type=Recreate", "type: Recreate"),
    ("strategy.rollingUpdate.maxSurge=1", "maxSurge: 1"),
    ("strategy.rollingUpdate.maxSurge=0,strategy.rollingUpdate.maxUnavailable=1", "maxUnavailable: 1"),
    ("minReadySeconds=10", "minReadySeconds: 10"),
    ("revisionHistoryLimit=10", "revisionHistoryLimit: 10"),
    ("terminationGracePeriodSeconds=120", "terminationGracePeriodSeconds: 120"),
    ('lifecycle={"preStop": {"sleep": {"seconds": 15}}}', "seconds: 15"),
    ('lifecycle={"postStart": {"exec": {"command": ["true"]}}}', "postStart:"),
    ("service.type=NodePort,service.nodePort=30080", "nodePort: 30080"),
    ("service.type=LoadBalancer,service.loadBalancerSourceRanges={10.0.0.0/8}", "- 10.0.0.0/8"),
    ("service.port=8080", "port: 8080"),
    ("service.labels.exposed=true", 'exposed: "true"'),
    ("service.annotations.external-dns\\.alpha\\.kubernetes\\.io/hostname=faq.example.org", "faq.example.org"),
    ("service.clusterIP=None,service.port=2024", 'clusterIP: "None"'),
    ("service.clusterIP=10.0.0.10", 'clusterIP: "10.0.0.10"'),
    ("service.sessionAffinity=ClientIP", 'sessionAffinity: "ClientIP"'),
    ("service.internalTrafficPolicy=Local", 'internalTrafficPolicy: "Local"'),
    ("service.type=LoadBalancer,service.externalTrafficPolicy=Local", 'externalTrafficPolicy: "Local"'),
    ("service.ipFamilyPolicy=PreferDualStack", "ipFamilyPolicy: PreferDualStack"),
    ("serviceAccount.create=false,serviceAccount.name=existing", "serviceAccountName: existing"),
    (
        "serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=arn:aws:iam::1:role/a",
        "role-arn: arn:aws:iam::1:role/a",
    ),
    ("serviceAccount.automount=true", "automountServiceAccountToken: true"),
    ("podSecurityContext.runAsUser=null,podSecurityContext.fsGroup=null", "runAsNonRoot: true"),
    ("podSecurityContext.fsGroup=1000", "fsGroup: 1000"),
    ("securityContext.readOnlyRootFilesystem=false", "readOnlyRootFilesystem: false"),
    ("nodeSelector.kubernetes\\.io/arch=arm64", "kubernetes.io/arch: arm64"),
    ("nodeSelector.gpu=true", 'gpu: "true"'),
    ("tolerations[0].key=dedicated,tolerations[0].operator=Exists", "key: dedicated"),
    (
        (
            'affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": '
            '[{"topologyKey": "kubernetes.io/hostname"}]}}'
        ),
        "podAntiAffinity:",
    ),
    (
        (
            "topologySpreadConstraints[0].maxSkew=1,topologySpreadConstraints[0].topologyKey=rack,"
            "topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule"
        ),
        "topologyKey: rack",
    ),
    ("priorityClassName=high", "priorityClassName: high"),
    ("runtimeClassName=gvisor", "runtimeClassName: gvisor"),
    ("schedulerName=batch", "schedulerName: batch"),
    ("dnsPolicy=Default", "dnsPolicy: Default"),
    ("dnsConfig.options[0].name=ndots,dnsConfig.options[0].value=2", 'value: "2"'),
    ("hostAliases[0].ip=192.0.2.1,hostAliases[0].hostnames={models.example.org}", "- models.example.org"),
    ("podSpecExtra.hostUsers=false", "hostUsers: false"),
    ("podSpecExtra.shareProcessNamespace=true", "shareProcessNamespace: true"),
    ("extraArgs={--env-file,/etc/more.env}", '- "/etc/more.env"'),
    ("extraEnv[0].name=MODEL,extraEnv[0].value=small", "value: small"),
    ("extraEnv[0].name=RETRIES,extraEnv[0].value=3", 'value: "3"'),
    ("extraEnvFrom[0].secretRef.name=keys", "name: keys"),
    ('extraVolumes=[{"name": "models", "emptyDir": {}}]', "- emptyDir: {}"),
    (
        'extraVolumes=[{"name": "m", "emptyDir": {}}] extraVolumeMounts=[{"name": "m", "mountPath": "/m"}]',
        "mountPath: /m",
    ),
    ("initContainers[0].name=fetch,initContainers[0].image=busybox", "initContainers:"),
    ("extraContainers[0].name=proxy,extraContainers[0].image=envoy", "image: envoy"),
    ('extraObjects=[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}]', "name: x"),
    ("ingress.enabled=true,ingress.hosts={faq.example.org}", 'host: "faq.example.org"'),
    ("ingress.enabled=true,ingress.hosts[0].host=faq.example.org", 'host: "faq.example.org"'),
    (
        (
            "ingress.enabled=true,ingress.hosts[0].host=a.example.org,ingress.hosts[0].paths[0].path=/ask,"
            "ingress.hosts[0].paths[0].pathType=ImplementationSpecific"
        ),
        "pathType: ImplementationSpecific",
    ),
    (
        (
            "ingress.enabled=true,ingress.hosts={a.example.org},ingress.tls[0].secretName=cert,"
            "ingress.tls[0].hosts={a.example.org}"
        ),
        "secretName: cert",
    ),
    ("ingress.enabled=true,ingress.className=nginx", "ingressClassName: nginx"),
    ("ingress.enabled=true,ingress.labels.public=true", 'public: "true"'),
    ("ingress.enabled=true,ingress.annotations.cert-manager\\.io/cluster-issuer=ca", "cluster-issuer: ca"),
    ("httpRoute.enabled=true,httpRoute.parentRefs[0].name=public", "kind: HTTPRoute"),
    (
        "httpRoute.enabled=true,httpRoute.parentRefs[0].name=public,httpRoute.hostnames={faq.example.org}",
        "- faq.example.org",
    ),
    (
        (
            'httpRoute={"enabled": true, "parentRefs": [{"name": "public"}], '
            '"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/faq"}}]}]}'
        ),
        "value: /faq",
    ),
    (
        (
            'httpRoute={"enabled": true, "parentRefs": [{"name": "public"}], "filters": [{"type": "URLRewrite", '
            '"urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}]}'
        ),
        "type: URLRewrite",
    ),
    ("networkPolicy.enabled=true", "kind: NetworkPolicy"),
    ('networkPolicy={"enabled": true, "egress": [{}]}', "- {}"),
    ("serviceMonitor.enabled=true", "kind: ServiceMonitor"),
    ("serviceMonitor.enabled=true,serviceMonitor.interval=30s,serviceMonitor.scrapeTimeout=10s", "scrapeTimeout: 10s"),
    ("serviceMonitor.enabled=true,serviceMonitor.namespace=monitoring", "namespace: monitoring"),
    ("serviceMonitor.enabled=true,serviceMonitor.labels.release=prometheus", "release: prometheus"),
    ("serviceMonitor.enabled=true,serviceMonitor.honorLabels=true", "honorLabels: true"),
    (
        (
            'serviceMonitor={"enabled": true, "metricRelabelings": [{"action": "drop", "regex": "python_.*", '
            '"sourceLabels": ["__name__"]}]}'
        ),
        "action: drop",
    ),
    ('podMonitor={"enabled": true, "relabelings": [{"targetLabel": "a", "replacement": "b"}]}', "targetLabel: a"),
    ("podMonitor.enabled=true", "kind: PodMonitor"),
    ("podMonitor.enabled=true,prometheusRule.enabled=true", "severity: critical"),
    ("podMonitor.enabled=true,prometheusRule.enabled=true,prometheusRule.severities.critical=page", "severity: page"),
    (
        "podMonitor.enabled=true,prometheusRule.enabled=true,prometheusRule.disabled.AskdDown=true",
        "alert: AskdShedding",
    ),
    ("podMonitor.enabled=true,prometheusRule.enabled=true,slo.availability=99.5", "objective 99.5 %"),
    ("podMonitor.enabled=true,prometheusRule.enabled=true,slo.latency.objective=99.95", "objective 99.95 %"),
    (
        "podMonitor.enabled=true,prometheusRule.enabled=true,prometheusRule.runbookUrl=https://runbooks.example.org",
        "runbook_url: https://runbooks.example.org/AskdDown.md",
    ),
    ("grafanaDashboard.enabled=true", "grafana_dashboard:"),
    ("grafanaDashboard.enabled=true,grafanaDashboard.annotations.grafana_folder=Answers", "grafana_folder: Answers"),
    ("tls.existingSecret=certificate", "secretName: certificate"),
    ("settings.logSample=0.01", 'value: "0.01"'),
    ("settings.deadline=2.5", 'value: "2.5"'),
    ("settings.threads=null", 'value: "64"'),
    ("settings.corsOrigins=https://example.org", 'value: "https://example.org"'),
    ("settings.trustedProxies=10.0.0.0/8", 'value: "10.0.0.0/8"'),
]
"""Arguments that work, with a text that the manifests must contain."""

REFUSED: Final[list[tuple[str, str]]] = [
    ("replicas=3", "use replicaCount"),
    ("hpa.enabled=true", "use autoscaling.enabled"),
    ("keda.enabled=true", "autoscaling.type=keda"),
    ("autoscaling.targetCPUUtilizationPercentage=80", "a percentage depends on the CPU request"),
    ("autoscaling.targetMemoryUtilizationPercentage=80", "memory does not follow the load"),
    ("autoscaling.enabled=true,resources.limits.cpu=500m", "would never act: use a target below it, such as 350m"),
    ("image.pullSecrets={registry}", "use imagePullSecrets"),
    ("labels.team=answers", "use commonLabels"),
    ("deployment.replicas=3", "replicaCount"),
    ("updateStrategy.type=Recreate", "use strategy"),
    ("probes.liveness.enabled=false", "use startupProbe, livenessProbe and readinessProbe"),
    ("livenessProbe.httpGet.path=/health", "the path is askd's own"),
    ("startupProbe.enabled=false", "liveness would restart code that loads slowly"),
    ("livenessProbe.successThreshold=1", "Kubernetes allows only 1"),
    ("podDisruptionBudget.minAvailable=2", "no node with a pod could be drained"),
    ("pdb.create=true", "use podDisruptionBudget"),
    ("terminationGracePeriodSeconds=30", "requests in flight would be lost"),
    ("serviceAccount.automountServiceAccountToken=true", "use serviceAccount.automount"),
    ("rbac.create=true", "there is no Role to create"),
    ("containerSecurityContext.runAsUser=1", "use securityContext for the container"),
    ("securityContext.enabled=true", "set the fields to null"),
    ("env.A=b", "use extraEnv"),
    ("extraEnvs[0].name=A", "use extraEnv"),
    ("extraEnv[0].name=ASKD_DEADLINE,extraEnv[0].value=9s", "use settings.deadline"),
    ("extraArgs={--deadline,9s}", "use settings.deadline"),
    ("volumes[0].name=a", "use extraVolumes"),
    ("volumeMounts[0].name=a", "use extraVolumeMounts"),
    ("extraInitContainers[0].name=a", "use initContainers"),
    ("sidecars[0].name=a", "use extraContainers"),
    ("command={sleep}", "use kubectl debug"),
    ("hostNetwork=true", "podSpecExtra.hostNetwork"),
    ("enableServiceLinks=true", "ASKD_PORT"),
    ("persistence.enabled=true", "askd stores nothing"),
    ("service.enabled=false", "need the Service"),
    ("service.targetPort=8080", "always 2024"),
    ("service.loadBalancerIP=192.0.2.1", "Kubernetes deprecated it"),
    ("service.externalIPs={192.0.2.1}", "CVE-2020-8554"),
    ("service.clusterIP=None", "set service.port=2024"),
    ("ingress.hostname=faq.example.org", "use ingress.hosts"),
    ("ingress.tlsSecret=cert", "use ingress.tls"),
    ("httpRoute.enabled=true", "name the Gateway"),
    ("networkPolicy.ingress=[{}]", "use networkPolicy.from"),
    ("metrics.serviceMonitor.enabled=true", "they are always on"),
    ("prometheus.servicemonitor.enabled=true", "use podMonitor, serviceMonitor"),
    ("serviceMonitor.additionalLabels.release=prometheus", "use serviceMonitor.labels"),
    ("prometheusRule.enabled=true", "enable podMonitor or serviceMonitor"),
    ("tls.enabled=true", "use tls.existingSecret"),
    ("redis.enabled=true", "the chart installs none"),
    ("logLevel=debug", "use settings.logLevel"),
]
"""Arguments that are rejected, with the reason and the fix."""
