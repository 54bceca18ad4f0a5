package cephcmd

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"holdfast/internal/host"
)

// Question is one thing to ask a cluster. Many questions cost one connection, where a command each would cost a process
// of half a second each.
type Question struct {
	Target  string         `json:"target,omitempty"` // who answers a command: mon or mgr
	Command map[string]any `json:"command,omitempty"`
	Pool    string         `json:"pool,omitempty"` // all that is known of the block images in a pool
	// Patience is how many seconds each image of the pool has.
	Patience float64 `json:"patience,omitempty"`
	Write    string  `json:"write,omitempty"` // whether the client may write in a pool, where nothing is changed
}

// Mon is a command that the monitors answer, with its arguments in pairs of name and value.
func Mon(prefix string, args ...any) Question { return command("mon", prefix, args) }

// Mgr is a command that the manager answers.
func Mgr(prefix string, args ...any) Question { return command("mgr", prefix, args) }

func command(target, prefix string, args []any) Question {
	c := map[string]any{"prefix": prefix}
	for i := 0; i < len(args); i += 2 {
		c[args[i].(string)] = args[i+1]
	}
	return Question{Target: target, Command: c}
}

// ImagesOf asks for all that is known of the block images in a pool. Of one that takes longer than patience nothing but its name is known.
func ImagesOf(pool string, patience time.Duration) Question {
	return Question{Pool: pool, Patience: patience.Seconds()}
}

// Answer is what the cluster said to a question.
type Answer struct {
	Body []byte
	Said string // beside the answer, or why there is none
	Err  syscall.Errno
}

// Denied reports whether the client may not ask this.
func (a Answer) Denied() bool { return a.Err == syscall.EPERM || a.Err == syscall.EACCES }

//go:embed ask.sh
var askShell string

//go:embed ask.py
var askPython string

// Ask asks all questions over one connection, in order, and returns as many answers. When the manager or the OSDs do not
// answer, neither does any later question to them. An error says that the cluster could not be asked at all, or that the
// monitors fell silent.
func (c Cluster) Ask(ctx context.Context, questions ...Question) ([]Answer, error) {
	asked, err := json.Marshal(map[string]any{
		"conf": c.Conf, "id": c.ID, "timeout": connectTimeout, "questions": questions,
	})
	if err != nil {
		return nil, err
	}
	cmd := python(askPython)
	cmd.Stdin = bytes.NewReader(asked)
	var answers []Answer
	err = host.Stream(ctx, c.On, cmd, func(r io.Reader) (err error) {
		answers, err = readAnswers(bufio.NewReader(r), len(questions))
		return err
	})
	if err != nil {
		return nil, c.explain(err, "ceph", []string{"(many questions)"})
	}
	return answers, nil
}

// ask asks the monitors one thing, and decodes the JSON that they answer. It takes a third of the time of the ceph command,
// which looks up all the commands that there are before it sends one.
func (c Cluster) ask(ctx context.Context, into any, prefix string, args ...any) error {
	answers, err := c.Ask(ctx, Mon(prefix, append(args, "format", "json")...))
	if err != nil {
		return err
	}
	if a := answers[0]; a.Err != 0 {
		err := &host.ExitError{Host: c.On.String(), Cmd: "ceph", Code: int(a.Err), Stderr: a.Said}
		return c.explain(err, "ceph", strings.Fields(prefix))
	}
	if err := json.Unmarshal(answers[0].Body, into); err != nil {
		return fmt.Errorf("the monitors answered %s with no JSON that is known: %w", prefix, err)
	}
	return nil
}

// maxAnswer bounds one answer in bytes; all that is known of a hundred thousand images is a tenth of it.
const maxAnswer = 1 << 30

// readAnswers reads n answers and the line that ends them.
func readAnswers(r *bufio.Reader, n int) ([]Answer, error) {
	var answers []Answer
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, cutOff(err)
		}
		var head struct {
			Code int    `json:"code"`
			Size int64  `json:"size"`
			Said string `json:"said"`
			End  *int   `json:"end"`
		}
		if err := json.Unmarshal([]byte(line), &head); err != nil {
			return nil, fmt.Errorf("read answers of Ceph: %w", err)
		}
		if head.End != nil {
			if *head.End != n || len(answers) != n {
				return nil, fmt.Errorf("%d questions brought %d answers", n, len(answers))
			}
			return answers, nil
		}
		if head.Size < 0 || head.Size > maxAnswer {
			return nil, fmt.Errorf("an answer of Ceph has %d bytes", head.Size)
		}
		body := make([]byte, head.Size+1)
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, cutOff(err)
		}
		answers = append(answers, Answer{body[:head.Size], strings.TrimSpace(head.Said), syscall.Errno(head.Code)})
	}
}

func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
