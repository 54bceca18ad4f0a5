package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"holdfast/internal/durable"
	"holdfast/internal/problem"
)

// Handler answers /metrics, and /healthz as long as there is somebody to do so.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.full, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// Listen takes the address that Serve answers at, so that what is wrong with it is told before anything begins.
func Listen(address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, problem.New(problem.Failed, "free the address, or set metrics.listen in holdfast.yml to another or to none", "listen for Prometheus: %w", err)
	}
	return ln, nil
}

// Serve answers at a listener until ctx ends.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() {
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.Shutdown(soon) != nil {
			s.Close()
		}
	})
	defer stop()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer Prometheus: %w", err)
	}
	return nil
}

// WriteTextfile writes everything for node_exporter's textfile collector: whole, and readable by everybody.
func (m *Metrics) WriteTextfile(name string) error {
	all, err := m.bare.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	var text bytes.Buffer
	for _, f := range all {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	if err := durable.WriteFile(name, text.Bytes(), 0o644); err != nil {
		return problem.New(problem.Failed, "check metrics.textfile in holdfast.yml", "%w", err)
	}
	return nil
}
