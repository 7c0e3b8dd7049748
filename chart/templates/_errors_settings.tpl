{{/* Errors in settings and in the answerer. */}}

{{- define "askd.settingsErrors" -}}
{{- $values := .Values -}}
{{- range $name, $bounds := include "askd.durationBounds" . | fromJson }}
{{- $value := get $values.settings $name }}
{{- if and (hasKey $values.settings $name) (not (kindIs "invalid" $value)) }}
{{- $milliseconds := include "askd.milliseconds" $value | float64 }}
{{- if or (lt $milliseconds (index $bounds 0)) (gt $milliseconds (index $bounds 1)) }}
  - settings.{{ $name }} is {{ include "askd.text" $value }}: expected {{ index $bounds 2 }}
{{- end }}
{{- end }}
{{- end }}
{{- if lt (include "askd.drainTimeout" . | int64) (include "askd.deadline" . | int64) }}
  - settings.drainTimeout is below the deadline, so a shutdown would cut requests off: use at least settings.deadline (10s for a book, 60s for code), or omit it for 5s more than that
{{- end }}
{{- if and $values.settings.rateBurst (not $values.settings.rateLimit) }}
  - settings.rateBurst has no effect without settings.rateLimit: set it, for example to 100/s, or omit both
{{- end }}
{{- if and $values.settings.docsRequireToken (not $values.auth.existingSecret) }}
  - settings.docsRequireToken has no effect without auth.existingSecret: name the Secret with the tokens, or omit it
{{- end }}
{{- if and (eq (include "askd.text" $values.settings.processes) "auto") (not (dig "limits" "cpu" "" $values.resources)) }}
  - settings.processes is auto without resources.limits.cpu, so each pod would start a worker process for every CPU of its node: set a number, or a CPU limit
{{- end }}
{{- range $name := list "workerMaxRequests" "workerMaxMemory" }}
{{- $maximum := get $values.settings $name | include "askd.text" }}
{{- if and (ne $maximum "0") (eq (include "askd.text" $values.settings.processes) "0") }}
  - settings.{{ $name }} has no effect without settings.processes: set it, for example to 2, or omit both
{{- end }}
{{- end }}
{{- if regexMatch "/$" $values.settings.prefix }}
  - settings.prefix is {{ $values.settings.prefix }}: omit the slash at its end
{{- end }}
{{- $previous := -1 }}
{{- range include "askd.bucketEdges" . | fromJsonArray }}
{{- if le (int64 .) (int64 $previous) }}
  - settings.latencyBuckets must increase: order them, each one once
{{- end }}
{{- $previous = . }}
{{- end }}
{{- $limit := dig "limits" "memory" "" $values.resources | include "askd.text" }}
{{- $factors := dict "" 1 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "k" 1000 "M" 1000000 "G" 1000000000 "B" 1 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 }}
{{- if regexMatch "^[0-9.]+(Ki|Mi|Gi|k|M|G)?$" $limit }}
{{- $memory := mulf (regexFind "^[0-9.]+" $limit | float64) (get $factors (regexReplaceAll "^[0-9.]+" $limit "")) }}
{{- $size := include "askd.text" $values.settings.cacheSize }}
{{- $cache := mulf (regexFind "^[0-9.]+" $size | float64) (get $factors (regexReplaceAll "^[0-9.]+ *" $size "")) }}
{{- if gt (addf $cache 100663296) $memory }}
  - settings.cacheSize is {{ $size }} and resources.limits.memory is {{ $limit }}: askd needs 96Mi in addition to its cache, so set a larger limit or a smaller cache
{{- end }}
{{- end }}
{{- end }}

{{/* Bounds of the latency buckets in milliseconds, as JSON. */}}
{{- define "askd.bucketEdges" -}}
{{- $edges := list -}}
{{- range .Values.settings.latencyBuckets }}{{ $edges = append $edges (include "askd.milliseconds" . | int64) }}{{ end -}}
{{- toJson $edges -}}
{{- end }}

{{- define "askd.answererErrors" -}}
{{- $answerer := .Values.answerer -}}
{{- $files := include "askd.files" . | fromJson -}}
{{- $sources := list -}}
{{- range $name := list "files" "existingConfigMap" "volume" -}}
{{- if get $answerer $name }}{{ $sources = append $sources (printf "answerer.%s" $name) }}{{ end -}}
{{- end -}}
{{- if gt (len $sources) 1 }}
  - {{ join " and " $sources }} are set together, but only one of them can be mounted at /answers: leave the others out
{{- end }}
{{- if and $files (not (include "askd.spec" .)) }}
  - answerer.files are given without answerer.spec, and none is named answer.py, main.py, app.py, langgraph.json, book.yaml or faq.yaml, so the built-in book would be served: set answerer.spec
{{- end }}
{{- $bytes := 0 }}
{{- range $text := $files }}{{ $bytes = add $bytes (len $text) }}{{ end }}
{{- if gt (int64 $bytes) 262144 }}
  - answerer.files have {{ div $bytes 1024 }} KiB together, and a release can hold 256: put them on a volume (answerer.volume) or into an image
{{- end }}
{{- $file := regexFind "^[^:#]+" $answerer.spec | trimPrefix "/answers/" | trimPrefix "./" }}
{{- if and $files (regexMatch "\\.(py|ya?ml|json|md)$" $file) (not (hasKey $files $file)) }}
  - answerer.spec names {{ $file }}, but answerer.files have {{ keys $files | sortAlpha | join ", " }}: make the names agree
{{- end }}
{{- if and $answerer.upstreamKey.existingSecret (ne (include "askd.kind" .) "remote") }}
  - answerer.upstreamKey is only for a LangGraph server: set answerer.spec to its address, http://host:port#assistant
{{- end }}
{{- end }}
