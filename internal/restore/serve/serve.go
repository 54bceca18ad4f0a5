// Package serve shows one file of bytes to those who know a secret path, over HTTP: lengths by HEAD and single ranges by
// GET, read-only. It answers nothing else and nobody else. A range is read as a whole before the answer begins, so that
// bytes that cannot be read are an error of the server to whoever asks, never an answer that breaks off.
package serve

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is served.
const (
	MostRange   = 4 << 20 // bytes of one answer
	atOnce      = 16      // answers in the making
	mostHeaders = 8 << 10 // bytes
	toAsk       = 10 * time.Second
	toAnswer    = time.Minute
	toIdle      = 15 * time.Minute // librbd connects again
)

// Content is what is served. ReadAt is called from several goroutines.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Server serves until it is closed.
type Server struct {
	http  http.Server
	path  [sha256.Size]byte
	what  Content
	slots chan struct{}
	fails func(error)
	ended chan struct{}
}

// Start serves content at /TOKEN of what l listens on. Errors of reading it are told to fails too.
func Start(l net.Listener, token string, what Content, fails func(error)) *Server {
	s := &Server{
		path: sha256.Sum256([]byte("/" + token)), what: what, fails: fails,
		slots: make(chan struct{}, atOnce), ended: make(chan struct{}),
	}
	s.http = http.Server{
		Handler: s, ReadHeaderTimeout: toAsk, ReadTimeout: toAsk, WriteTimeout: toAnswer, IdleTimeout: toIdle,
		MaxHeaderBytes: mostHeaders, ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(s.ended)
		_ = s.http.Serve(l) // ErrServerClosed, or the address is gone and rbd tells
	}()
	return s
}

// patience is how long answers that have begun may take after Close.
const patience = 5 * time.Second

// Close ends the serving and frees the address.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // nothing is left to be told
	}
	<-s.ended
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := sha256.Sum256([]byte(r.URL.Path))
	if subtle.ConstantTimeCompare(asked[:], s.path[:]) != 1 {
		refuse(w, http.StatusNotFound)
		return
	}
	w.Header().Set("Accept-Ranges", "bytes")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodHead:
		w.Header().Set("Content-Length", strconv.FormatInt(s.what.Size(), 10))
	case http.MethodGet:
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
		s.get(w, r.Header.Get("Range"))
	default:
		refuse(w, http.StatusMethodNotAllowed)
	}
}

func (s *Server) get(w http.ResponseWriter, asked string) {
	first, last, ok := span(asked, s.what.Size())
	if !ok {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", s.what.Size()))
		refuse(w, http.StatusRequestedRangeNotSatisfiable)
		return
	}
	data := make([]byte, last+1-first)
	if n, err := s.what.ReadAt(data, first); n < len(data) {
		s.fails(fmt.Errorf("read %d bytes at %d: %w", len(data), first, err))
		refuse(w, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, s.what.Size()))
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(data) // who asked went away
}

// refuse answers without a word and hangs up.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
}

// span reads a single range of bytes, both ends given, that lies within size as its beginning does.
func span(asked string, size int64) (first, last int64, ok bool) {
	from, to, found := strings.Cut(strings.TrimPrefix(asked, "bytes="), "-")
	first, err := strconv.ParseInt(from, 10, 64)
	if err != nil || !found || !strings.HasPrefix(asked, "bytes=") {
		return 0, 0, false
	}
	last, err = strconv.ParseInt(to, 10, 64)
	if err != nil || first < 0 || first >= size || last < first {
		return 0, 0, false
	}
	last = min(last, size-1)
	return first, last, last-first < MostRange
}
