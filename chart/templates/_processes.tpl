{{/* CPU of pods whose code runs in worker processes. */}}

{{/* Number of worker processes per pod; 0 if the code runs in the server's process. `auto` needs a CPU limit. */}}
{{- define "askd.processes" -}}
{{- $processes := include "askd.text" .Values.settings.processes -}}
{{- if eq $processes "auto" -}}
{{- $limit := dig "limits" "cpu" "0" .Values.resources -}}
{{- max 1 (div (include "askd.millicores" $limit | int64) 1000) -}}
{{- else -}}
{{- $processes | int64 -}}
{{- end -}}
{{- end }}

{{/* Target of the autoscaler: the default is multiplied by the number of worker processes, which use one CPU each. */}}
{{- define "askd.cpuTarget" -}}
{{- $processes := include "askd.processes" . | int64 -}}
{{- $target := .Values.autoscaling.cpu.averageValue -}}
{{- if and $processes (eq (include "askd.text" $target) "700m") -}}
{{- mul 700 $processes -}}m
{{- else if $target -}}
{{- $target -}}
{{- end -}}
{{- end }}

{{/* Resources: the default CPU request becomes what the worker processes use at the default target of the autoscaler. */}}
{{- define "askd.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- $processes := include "askd.processes" . | int64 -}}
{{- if and $processes (eq (dig "requests" "cpu" "" $resources | include "askd.text") "100m") -}}
{{- $request := mul 700 $processes -}}
{{- with dig "limits" "cpu" "" $resources -}}
{{- $request = min $request (include "askd.millicores" . | int64) -}}
{{- end -}}
{{- $_ := set $resources.requests "cpu" (printf "%dm" $request) -}}
{{- end -}}
{{- with $resources -}}{{- toYaml . -}}{{- end -}}
{{- end }}
