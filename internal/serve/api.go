package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"holdfast/internal/job"
	"holdfast/internal/problem"
)

// line is what a command is told while it waits and works.
type line struct {
	Behind string   `json:"behind,omitempty"` // it waits for that
	Run    string   `json:"run,omitempty"`    // it is its turn
	Cancel bool     `json:"cancel,omitempty"` // an operator wants it to end
	Failed *refusal `json:"failed,omitempty"`
}

// refusal is a problem on its way to a command.
type refusal struct {
	Error string       `json:"error"`
	Hint  string       `json:"hint"`
	Kind  problem.Kind `json:"kind"`
}

func refuse(err error) *refusal {
	return &refusal{Error: err.Error(), Hint: problem.HintOf(err), Kind: problem.KindOf(err)}
}

func (r refusal) problem() error { return problem.New(r.Kind, r.Hint, "%s", r.Error) }

// Handler answers the commands that speak to the daemon.
func (d *Daemon) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /queue", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		q := d.view()
		d.mu.Unlock()
		answer(w, q)
	})
	mux.HandleFunc("GET /results", func(w http.ResponseWriter, r *http.Request) { answer(w, d.results(r.FormValue("most"))) })
	mux.HandleFunc("GET /overview", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		o := d.overview
		d.mu.Unlock()
		answer(w, o)
	})
	mux.HandleFunc("POST /run", func(w http.ResponseWriter, r *http.Request) {
		id, err := d.RunNow(r.FormValue("job"))
		answerOr(w, map[string]string{"run": id}, err)
	})
	mux.HandleFunc("POST /cancel", func(w http.ResponseWriter, r *http.Request) {
		answerOr(w, map[string]bool{"canceled": true}, d.Cancel(r.FormValue("run")))
	})
	mux.HandleFunc("POST /end", func(w http.ResponseWriter, r *http.Request) {
		var res job.Result
		err := json.NewDecoder(r.Body).Decode(&res)
		if err == nil {
			err = d.End(r.FormValue("run"), res)
		}
		answerOr(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /turn", d.serveTurn)
	return mux
}

// serveTurn keeps a turn as long as the connection.
func (d *Daemon) serveTurn(w http.ResponseWriter, r *http.Request) {
	var ask Ask
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&ask); err != nil {
		answerOr(w, nil, err)
		return
	}
	io.Copy(io.Discard, r.Body) // read to its end, or nobody sees the connection close
	say := func(l line) {
		json.NewEncoder(w).Encode(l) // who does not listen any more has ended the turn
		http.NewResponseController(w).Flush()
	}
	run, err := d.Turn(r.Context(), ask, func(text string) { say(line{Behind: text}) })
	if err != nil {
		say(line{Failed: refuse(err)})
		return
	}
	defer d.Leave(run)
	say(line{Run: run.ID})
	<-run.turn.cancel.Done()
	if r.Context().Err() == nil { // an operator's wish; the command has its time to clean up
		say(line{Cancel: true})
		<-r.Context().Done()
	}
}

// results are the newest, oldest first.
func (d *Daemon) results(most string) []job.Result {
	n, err := strconv.Atoi(most)
	if err != nil || n < 0 {
		n = mostResults
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []job.Result{}
	for _, t := range d.st.Results[max(0, len(d.st.Results)-n):] {
		all = append(all, t.Result)
	}
	return all
}

func answer(w http.ResponseWriter, v any) { answerOr(w, v, nil) }

func answerOr(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		v = refuse(err)
	}
	json.NewEncoder(w).Encode(v) // who went away has no use for it
}

// Lock makes sure that there is no other daemon of the same state. The file is locked as long as it is open.
func Lock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.Wrap(err, "make", dir)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, problem.Wrap(err, "lock", dir)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, problem.New(problem.Busy, "holdfast queue speaks to it; one state has one daemon", "a daemon works with %s already", dir)
		}
		return nil, problem.Wrap(err, "lock", dir)
	}
	return f, nil
}

// Listen opens the socket, for its owner alone. The caller holds the lock, so that one left behind is nobody's.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, problem.Wrap(err, "replace", path)
	}
	short, done, err := reach(path)
	if err != nil {
		return nil, problem.Wrap(err, "listen at", path)
	}
	defer done()
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", short)
	syscall.Umask(old)
	if err != nil {
		return nil, problem.New(problem.Failed, "make its directory, or give another as serve: {socket: …}", "listen at %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its short name is not for long
	return l, nil
}

// longestSocket is how long the kernel lets the name of a socket be.
const longestSocket = 100

// reach returns a name for a socket that is short enough, valid until done is called.
func reach(path string) (short string, done func(), err error) {
	if len(path) <= longestSocket {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path)), func() { dir.Close() }, nil
}

// Serve answers at a socket until ctx ends. Who asks before the daemon works waits until it does.
func (d *Daemon) Serve(ctx context.Context, l net.Listener) error {
	select {
	case <-d.begun:
	case <-ctx.Done():
		return nil
	}
	server := &http.Server{Handler: d.Handler(), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
