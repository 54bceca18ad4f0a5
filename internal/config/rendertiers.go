package config

import (
	"fmt"
	"strings"
	"time"
)

// renderS3 writes s as s3 reads it.
func renderS3(s S3) string {
	var parts []string
	text := func(key, value string) {
		if value != "" {
			parts = append(parts, key+": "+quote(value))
		}
	}
	text("endpoint", s.Endpoint)
	text("region", s.Region)
	if s.PathStyle {
		parts = append(parts, "path_style: true")
	}
	text("ca", s.CA)
	for _, k := range []struct {
		key string
		ref SecretRef
	}{{"access_key", s.AccessKey}, {"secret_key", s.SecretKey}, {"session_token", s.Token}} {
		switch {
		case k.ref.File != "":
			parts = append(parts, k.key+": {file: "+quote(k.ref.File)+"}")
		case k.ref.Command != "":
			parts = append(parts, k.key+": {command: "+quote(k.ref.Command)+"}")
		}
	}
	outer := parts
	parts = nil
	text("packs", s.Classes.Packs)
	text("directories", s.Classes.Directories)
	text("indexes", s.Classes.Indexes)
	if len(parts) > 0 {
		outer = append(outer, "storage_class: {"+strings.Join(parts, ", ")+"}")
	}
	return "{" + strings.Join(outer, ", ") + "}"
}

// renderLimits writes limits as limit reads them.
func renderLimits(all []Limit) string {
	var parts []string
	for _, l := range all {
		parts = append(parts, fmt.Sprintf("{from: %q, to: %q, rate: %s}", renderClock(l.From), renderClock(l.To), FormatSize(l.Rate)))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func renderClock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}
