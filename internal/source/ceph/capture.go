package ceph

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/cephcmd"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/internal/stream"
)

// capture is the metadata of one cluster on its way into a sink.
type capture struct {
	cluster Cluster
	sink    source.Sink
	now     time.Time

	contents   Contents
	lacking    []capability // that the client was found to lack
	notes      []string
	bodies     map[string][]byte // answers that more is made from
	osds       osdMap
	proof      map[string]any
	keys       []kept
	written    int // files
	parsed     int // of them JSON
	imageCount int
}

func (c *capture) run(ctx context.Context) (source.Outcome, error) {
	c.bodies, c.proof = map[string][]byte{}, map[string]any{}
	c.contents = Contents{Version: 1, Cluster: c.cluster.Name, Client: "client." + c.cluster.ID, Captured: c.now.UTC()}
	for _, step := range []func(context.Context) error{c.askAlways, c.askMore, c.gateway, c.decompile, c.derive, c.tell} {
		if err := step(ctx); err != nil {
			return source.Outcome{}, err
		}
	}
	return c.outcome(), nil
}

// asking is a question with what is done with its answer.
type asking struct {
	question cephcmd.Question
	take     func(cephcmd.Answer) error
}

// ask asks over one connection.
func (c *capture) ask(ctx context.Context, list []asking) error {
	var questions []cephcmd.Question
	for _, a := range list {
		questions = append(questions, a.question)
	}
	answers, err := c.cluster.Ask(ctx, questions...)
	if err != nil {
		return err
	}
	for n, a := range list {
		if err := a.take(answers[n]); err != nil {
			return err
		}
	}
	return nil
}

// askAlways asks what every cluster is asked; without its OSD map a cluster is not known.
func (c *capture) askAlways(ctx context.Context) error {
	list := append(c.files(always), asking{keyList.ask, c.takeKeyNames})
	if err := c.ask(ctx, list); err != nil {
		return err
	}
	if err := json.Unmarshal(c.bodies[osdFile], &c.osds); err != nil || c.osds.FSID == "" {
		return fmt.Errorf("cluster %s does not show its map: %s", c.cluster.Name, c.entry(osdFile).Reason)
	}
	c.contents.FSID = c.osds.FSID
	return nil
}

// askMore asks for what the first answers spoke of.
func (c *capture) askMore(ctx context.Context) error {
	list := slices.Concat(c.files(mapsOf(c.osds.Epoch)), c.keyValues(), c.images(), []asking{{asJSON("osd stat"), c.takeEpoch}})
	if err := c.ask(ctx, list); err != nil {
		return err
	}
	if err := c.keepKeys(); err != nil {
		return err
	}
	for _, name := range []string{osdmapFile, monmapFile} {
		if body := c.bodies[name]; body != nil && !bytes.Contains(body, c.osds.binaryFSID()) {
			return fmt.Errorf("%s is not of cluster %s: its identity is not in it", name, c.osds.FSID)
		}
	}
	return nil
}

// files asks for files, to write those there are.
func (c *capture) files(items []item) []asking {
	var list []asking
	for _, i := range items {
		e := Entry{File: i.file, Command: typed(i.ask), For: i.use, Back: i.back}
		list = append(list, asking{i.ask, func(a cephcmd.Answer) error { return c.keepAnswer(e, a, i.need, i.form) }})
	}
	return list
}

// keepAnswer writes a file, or why it is not there.
func (c *capture) keepAnswer(e Entry, a cephcmd.Answer, need capability, f form) error {
	if e.State, e.Reason = judge(a); e.State != Present {
		if e.State == Denied {
			e.Reason = c.denied(need)
		}
		c.record(e)
		return nil
	}
	body := a.Body
	if f == inJSON {
		var err error
		if body, err = indented(a.Body); err != nil {
			e.State, e.Reason = Failed, "the answer is no JSON: "+err.Error()
			c.record(e)
			return nil
		}
		c.parsed++
	}
	return c.put(e, body)
}

// denied notes a capability that the client lacks, and says so.
func (c *capture) denied(need capability) string {
	if need.service == "" {
		need = capability{"mon", "allow r"}
	}
	if !slices.Contains(c.lacking, need) {
		c.lacking = append(c.lacking, need)
	}
	return fmt.Sprintf("client.%s lacks %s", c.cluster.ID, need)
}

// indented is JSON as people read it; numbers and the order of keys stay as they are.
func indented(body []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(body), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// put writes a file and records it.
func (c *capture) put(e Entry, body []byte) error {
	if e.Size = len(body); e.State != Incomplete {
		e.State = Present
	}
	c.record(e)
	c.bodies[e.File] = body
	return c.write(e.File, body)
}

// write writes a file. All are for their owner alone: keys are in more than one.
func (c *capture) write(name string, body []byte) error {
	f, err := c.sink.Tree.Create(name, stream.Meta{Mode: 0o600, ModTime: c.now}, stream.Plain)
	if err != nil {
		return err
	}
	if _, err := f.Write(body); err != nil {
		f.Abort()
		return fmt.Errorf("keep %s: %w", name, err)
	}
	c.sink.Read(int64(len(body)))
	c.written++
	return f.Close()
}

func (c *capture) record(e Entry) { c.contents.Files = append(c.contents.Files, e) }

// entry finds what was recorded of a file.
func (c *capture) entry(file string) Entry {
	for _, e := range c.contents.Files {
		if e.File == file {
			return e
		}
	}
	return Entry{}
}

func (c *capture) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

func (c *capture) outcome() source.Outcome {
	o := source.Outcome{State: point.Good, Identity: c.identity(), Proof: c.proof, Notes: c.notes}
	var missing []string
	for _, e := range c.contents.Files {
		if e.missing() {
			missing = append(missing, e.File+" ("+e.Reason+")")
		}
	}
	if len(missing) > 0 {
		o.State = point.ComponentPartial
		o.Reason = "not captured: " + strings.Join(missing, "; ")
		if len(c.lacking) > 0 {
			o.Reason += "; holdfast doctor prints the capabilities that client." + c.cluster.ID + " needs"
		}
	}
	return o
}
