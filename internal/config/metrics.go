package config

import (
	"net"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Metrics say where Prometheus finds what is measured.
type Metrics struct {
	Listen   string // HOST:PORT of /metrics while serve runs; "none" is nowhere; default DefaultListen
	PerImage bool   // a series for each image, and not for each pool
	Textfile string // written for node_exporter after each run; "" is none
}

// DefaultListen is where the daemon can be asked for its metrics: from this host alone.
const DefaultListen = "127.0.0.1:9466"

// NoListen is what stands there when it cannot be asked at all.
const NoListen = "none"

func (d *decoder) metrics(dst *Metrics) reader {
	return func(n *yaml.Node, at string) {
		d.mapping(n, at,
			optional("listen", d.text(&dst.Listen, aListener)),
			optional("per_image", d.flag(&dst.PerImage)),
			optional("textfile", d.path(&dst.Textfile)),
		)
	}
}

// aListener accepts HOST:PORT, or none.
func aListener(_ *yaml.Node, text string) (wrong, hint string) {
	if text == NoListen {
		return "", ""
	}
	host, port, err := net.SplitHostPort(text)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err == nil && portErr == nil && n > 0 && host != "" {
		return "", ""
	}
	return strconv.Quote(text) + " is not HOST:PORT", "write " + DefaultListen + ", or none"
}

func (w *writer) metrics(m Metrics) {
	if m == (Metrics{Listen: DefaultListen}) || m == (Metrics{}) {
		return
	}
	w.line("")
	w.comment("Where Prometheus finds what is measured.")
	w.key("metrics", "", false)
	w.nest("  ", func() {
		if m.Listen != "" {
			w.key("listen", quote(m.Listen), m.Listen == DefaultListen)
		}
		w.key("per_image", strconv.FormatBool(m.PerImage), !m.PerImage)
		if m.Textfile != "" {
			w.key("textfile", quote(m.Textfile), false)
		}
	})
}
