{{/* Values that are missing get their defaults. Every template begins with it. */}}
{{- define "askd.fill" -}}
{{- include "askd.fillMap" (dict "values" .Values "defaults" (include "askd.defaults" . | fromJson)) -}}
{{- end }}

{{- define "askd.fillMap" -}}
{{- range $name, $default := .defaults -}}
{{- if kindIs "slice" $default -}}
{{- if kindIs "invalid" (index $.values $name) }}{{ $_ := set $.values $name (index $default 0) }}{{ end -}}
{{- else -}}
{{- if kindIs "invalid" (index $.values $name) }}{{ $_ := set $.values $name dict }}{{ end -}}
{{- include "askd.fillMap" (dict "values" (index $.values $name) "defaults" $default) -}}
{{- end -}}
{{- end -}}
{{- end }}
