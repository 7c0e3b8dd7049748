{{/* Durations, in whole milliseconds unless it says otherwise, and what is computed from them. */}}

{{/* A duration as askd reads it, 500ms, 10s, 2m, 1h or seconds, as milliseconds. */}}
{{- define "askd.milliseconds" -}}
{{- $text := include "askd.text" . -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $unit := trimPrefix $number $text | trim -}}
{{- $factors := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- mulf (float64 $number) (get $factors ($unit | default "s")) | ceil | int64 -}}
{{- end }}

{{/* A number as people write it: Helm reads 1000000 as a float and would write 1e+06. */}}
{{- define "askd.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else -}}
{{- toString . | trim -}}
{{- end -}}
{{- end }}

{{/* The spec, or the name that askd looks for where none is given, as far as the chart knows the files. */}}
{{- define "askd.spec" -}}
{{- $found := list -}}
{{- range $name := list "answer.py" "langgraph.json" "book.yaml" "book.yml" "book.json" "book.md" -}}
{{- if hasKey $.Values.answerer.files $name }}{{ $found = append $found $name }}{{ end -}}
{{- end -}}
{{- .Values.answerer.spec | default (first $found | default "") -}}
{{- end }}

{{/* book, code, remote, or empty: the built-in book, or what an image or a volume has. A folder counts as code. */}}
{{- define "askd.kind" -}}
{{- $spec := include "askd.spec" . -}}
{{- if not $spec -}}
{{- if or .Values.answerer.existingConfigMap .Values.answerer.volume -}}code{{- end -}}
{{- else if regexMatch "^(?i)(ask\\+)?https?://" $spec -}}remote
{{- else if regexMatch "(^|/)langgraph\\.json$" $spec -}}code
{{- else if regexMatch "(?i)^[^#:]+\\.(ya?ml|json|md)$" $spec -}}book
{{- else -}}code
{{- end -}}
{{- end }}

{{/* The longest time for an answer: what is set, else 10 s for a book and 60 s for everything else, also for what is not
     known: an image may bring code along. */}}
{{- define "askd.deadline" -}}
{{- $unset := ternary "10s" "60s" (eq (include "askd.kind" .) "book") -}}
{{- include "askd.milliseconds" (.Values.settings.deadline | default $unset) -}}
{{- end }}

{{/* The longest wait for what is in flight at the end: what is set, else the deadline and 5 s more. */}}
{{- define "askd.drainTimeout" -}}
{{- if kindIs "invalid" .Values.settings.drainTimeout -}}
{{- add (include "askd.deadline" .) 5000 -}}
{{- else -}}
{{- include "askd.milliseconds" .Values.settings.drainTimeout -}}
{{- end -}}
{{- end }}

{{/* The grace period in seconds: every step of the stop one after the other, and 5 s for what none of them counts. */}}
{{- define "askd.gracePeriod" -}}
{{- $steps := add
  (mul .Values.stop.preStop 1000)
  (include "askd.milliseconds" .Values.settings.drainDelay)
  (include "askd.drainTimeout" .)
  (include "askd.milliseconds" .Values.settings.shutdownTimeout)
  (include "askd.milliseconds" .Values.settings.flushTimeout) -}}
{{- add (divf $steps 1000 | ceil) 5 -}}
{{- end }}

{{/* A time-out for what stands before askd, in the Gateway API's form: 2 s more, so that askd's own 504 comes first. */}}
{{- define "askd.timeoutBefore" -}}
{{- add (divf . 1000 | ceil) 2 -}}s
{{- end }}
