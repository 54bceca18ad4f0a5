package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/event"
)

// every is how often a running component gets a line where nothing can be drawn.
const every = 10 * time.Second

// plain writes a line for what starts, ends or is worth telling, and one per component and ten seconds in between.
type plain struct {
	*base
	told map[*row]time.Time
}

// Listen implements Display.
func (p *plain) Listen(e event.Event) {
	p.Lock()
	defer p.Unlock()
	e = p.stamp(e)
	r := p.board.apply(e)
	if text := p.line(e, r); text != "" {
		fmt.Fprintf(p.out, "%s %s\n", e.Time.UTC().Format("15:04:05"), clean(text))
		if r != nil {
			p.told[r] = e.Time
		}
	}
}

func (p *plain) line(e event.Event, r *row) string {
	switch e.Kind {
	case event.RunStarted:
		return strings.TrimSpace("run started " + e.Point)
	case event.RunFinished:
		return strings.TrimSpace("run finished "+e.Point) + ": " + e.State
	case event.Note:
		return notice(e)
	}
	if r == nil {
		return ""
	}
	switch e.Kind {
	case event.Started:
		if e.Host != "" {
			return r.label() + ": started on " + e.Host
		}
		return r.label() + ": started"
	case event.Finished:
		return finishedLine(r)
	case event.Progress:
		if e.Time.Sub(p.told[r]) < every {
			return ""
		}
		return progressLine(r, e.Time)
	}
	return ""
}

func progressLine(r *row, now time.Time) string {
	text := r.label() + ": " + Size(r.read)
	if r.total > 0 {
		text += fmt.Sprintf(" of %s (%d%%)", Size(r.total), min(r.read*100/r.total, 100))
	}
	if rate := Rate(r.rate(now)); rate != "" {
		text += ", " + rate
	}
	if left, ok := r.left(now); ok {
		text += ", " + Span(left) + " left"
	}
	return text
}

func finishedLine(r *row) string {
	text := fmt.Sprintf("%s: %s", r.label(), r.state)
	if r.read > 0 {
		text += ", " + Size(r.read) + " read"
	}
	if r.fresh > 0 {
		text += ", " + Size(r.fresh) + " new"
	}
	text += ", " + Span(r.took)
	if rate := Rate(r.rate(time.Time{})); rate != "" {
		text += ", " + rate
	}
	if r.state != "good" && r.reason != "" {
		text += ": " + r.reason
	}
	return text
}

// Say implements Display.
func (p *plain) Say(text string) {
	p.Lock()
	defer p.Unlock()
	p.say(text)
}

// jsonLines writes each event as one line of JSON; progress at most once a second and component.
type jsonLines struct {
	*base
	told map[*row]time.Time
}

const jsonEvery = time.Second

// Listen implements Display.
func (j *jsonLines) Listen(e event.Event) {
	j.Lock()
	defer j.Unlock()
	e = j.stamp(e)
	e.Time = e.Time.UTC()
	r := j.board.apply(e)
	if e.Kind == event.Progress && r != nil {
		if e.Time.Sub(j.told[r]) < jsonEvery {
			return
		}
		if j.told == nil {
			j.told = map[*row]time.Time{}
		}
		j.told[r] = e.Time
	}
	j.write(e)
}

// Say implements Display; the line comes as a note.
func (j *jsonLines) Say(text string) {
	j.Lock()
	defer j.Unlock()
	j.write(event.Event{Kind: event.Note, Time: j.now().UTC(), Text: text})
}

func (j *jsonLines) write(e event.Event) {
	enc := json.NewEncoder(j.out)
	enc.SetEscapeHTML(false)
	enc.Encode(e) // a listener has nobody to tell that stderr is gone
}
