{{/* Names, labels and the image. */}}

{{- define "askd.name" -}}
{{- .Values.nameOverride | default "askd" -}}
{{- end }}

{{/* At most 52 characters, so that the suffixes of other objects fit into 63. */}}
{{- define "askd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "askd.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "askd.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* What never changes in a release: selectors are immutable. */}}
{{- define "askd.selector" -}}
app.kubernetes.io/name: {{ include "askd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{/* Labels of every object. The user's go first, so that none of them can take a selector's place. */}}
{{- define "askd.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "askd.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" (.Values.image.tag | default .Chart.AppVersion | trunc 63)
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63) -}}
{{- toYaml (merge $own .Values.labels) -}}
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
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if or .Values.image.tag (not .Values.image.digest) }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* What the pods and the test pod have in common. */}}
{{- define "askd.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The family decides where to listen: :: is every address of both, 0.0.0.0 works where IPv6 is off. */}}
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
