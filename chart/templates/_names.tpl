{{/* Names, labels, metadata and the image. */}}

{{/* The chart's name, which is the alias in a parent chart, so that two of them in a release differ in their selectors. */}}
{{- define "askd.name" -}}
{{- .Values.nameOverride | default .Chart.Name | lower | replace "_" "-" | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* At most 52 characters, so that the suffixes of other objects fit into 63, and a valid name of a Service: no dot, no
     digit at its start. If the wanted name had to be changed, a hash keeps it different from other releases' names. */}}
{{- define "askd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "askd.name" . -}}
{{- $wanted := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $valid := replace "." "-" $wanted -}}
{{- if regexMatch "^[0-9]" $valid }}{{ $valid = printf "askd-%s" $valid }}{{ end -}}
{{- if and (eq $valid $wanted) (le (len $valid) 52) -}}
{{- $valid -}}
{{- else -}}
{{- printf "%s-%s" (trunc 45 $valid | trimSuffix "-") (sha256sum $wanted | trunc 6) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "askd.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{/* Selector labels, which never change in a release because selectors are immutable. */}}
{{- define "askd.selector" -}}
app.kubernetes.io/name: {{ include "askd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{/* Labels of every object. The user's cannot replace a selector label. */}}
{{- define "askd.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "askd.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" (include "askd.text" .Values.image.tag | default .Chart.AppVersion | include "askd.label")
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | include "askd.label") -}}
{{- $user := merge dict .Values.commonLabels ((.Values.global | default dict).commonLabels | default dict) -}}
{{- toYaml (merge $own (include "askd.strings" $user | fromYaml)) -}}
{{- end }}

{{/* A text as a label: at most 63 characters, a letter or digit at both ends. */}}
{{- define "askd.label" -}}
{{- regexReplaceAll "^[^A-Za-z0-9]+|[^A-Za-z0-9]+$" (regexReplaceAll "[^A-Za-z0-9._-]" . "_" | trunc 63) "" -}}
{{- end }}

{{/* A map with text values, as YAML: --set gives numbers and booleans, which labels and annotations must not be. */}}
{{- define "askd.strings" -}}
{{- $strings := dict -}}
{{- range $name, $value := . -}}
{{- if kindIs "string" $value }}{{ $_ := set $strings $name $value -}}
{{- else if not (kindIs "invalid" $value) }}{{ $_ := set $strings $name (include "askd.text" $value) }}{{ end -}}
{{- end -}}
{{- with $strings }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/* Metadata of an object: (dict "root" $), and optionally name or suffix, component, namespace, labels, annotations and
     the chart's own annotations `own`. Own labels and annotations take precedence. */}}
{{- define "askd.metadata" -}}
{{- $component := empty .component | ternary dict (dict "app.kubernetes.io/component" .component) -}}
{{- $labels := merge $component (include "askd.labels" .root | fromYaml) (include "askd.strings" .labels | fromYaml) -}}
{{- $annotations := merge dict (.own | default dict) (.annotations | default dict) .root.Values.commonAnnotations -}}
metadata:
  name: {{ .name | default (printf "%s%s" (include "askd.fullname" .root) (.suffix | default "")) }}
  namespace: {{ .namespace | default (include "askd.namespace" .root) }}
  labels:
    {{- toYaml $labels | nindent 4 }}
  {{- with include "askd.strings" $annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "askd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "askd.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "askd.image" -}}
{{- $registry := (.Values.global | default dict).imageRegistry | default .Values.image.registry -}}
{{- $tag := include "askd.text" .Values.image.tag -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if or $tag (not .Values.image.digest) }}:{{ $tag | default .Chart.AppVersion }}{{ end -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* Pull Secrets of the pods and the test pod. */}}
{{- define "askd.pullSecrets" -}}
{{- $names := list -}}
{{- range concat .Values.imagePullSecrets ((.Values.global | default dict).imagePullSecrets | default list) -}}
{{- $names = append $names (kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") .) -}}
{{- end -}}
{{- with uniq $names }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Listen address: :: covers both families, 0.0.0.0 works without IPv6. */}}
{{- define "askd.host" -}}
{{- $dual := has .Values.service.ipFamilyPolicy (list "PreferDualStack" "RequireDualStack") -}}
{{- if or $dual (has "IPv6" .Values.service.ipFamilies) -}}::{{- else -}}0.0.0.0{{- end -}}
{{- end }}

{{- define "askd.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "askd.scheme" -}}
{{- if .Values.tls.existingSecret -}}https{{- else -}}http{{- end -}}
{{- end }}
