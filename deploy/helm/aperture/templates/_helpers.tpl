{{- define "aperture.name" -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "aperture.selector" -}}
app.kubernetes.io/name: aperture
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "aperture.labels" -}}
{{ include "aperture.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "aperture.nodeSecret" -}}
{{ include "aperture.name" . }}-node
{{- end }}

{{- define "aperture.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "aperture.check" -}}
{{- if not (has .Values.config.mode (list "configMap" "settingsPage")) }}
{{- fail (printf "config.mode is %q: it is configMap or settingsPage" .Values.config.mode) }}
{{- end }}
{{- if and (eq .Values.config.mode "settingsPage") (not .Values.persistence.enabled) }}
{{- fail "config.mode is settingsPage, but without persistence.enabled every restart would forget the configuration" }}
{{- end }}
{{- if and .Values.modelServer.enabled (not .Values.modelServer.container) }}
{{- fail "modelServer.enabled needs modelServer.container" }}
{{- end }}
{{- end }}
