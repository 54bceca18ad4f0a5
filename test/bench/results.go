package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// figure is one line of the report. A figure without a bar has no verdict.
type figure struct{ What, Bar, Measured, Verdict, Detail string }

func verdict(reached bool) string {
	if reached {
		return "ok"
	}
	return "MISS"
}

// results are the figures of one group, which has its own place in the document.
type results struct {
	group   string
	machine []string
	figures []figure
}

func (b *bench) add(f figure) {
	b.results.figures = append(b.results.figures, f)
	b.say("   %s: %s (bar %s) %s; %s", f.What, f.Measured, f.Bar, f.Verdict, f.Detail)
}

func (r *results) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tBAR\tMEASURED\t\tHOW")
	for _, f := range r.figures {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", f.What, f.Bar, f.Measured, f.Verdict, f.Detail)
	}
	t.Flush()
	fmt.Fprintln(w)
	for _, line := range r.machine {
		fmt.Fprintln(w, line)
	}
}

// Marks in the document between which a group's figures stand.
func (r *results) marks() (begin, end string) {
	return "<!-- figures of " + r.group + " begin: written by make bench -->\n", "<!-- figures of " + r.group + " end -->\n"
}

// writeInto replaces what stands between the group's marks in a document, if anything was measured.
func (r *results) writeInto(name string) error {
	if len(r.figures) == 0 {
		return nil
	}
	beginMark, endMark := r.marks()
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(text), beginMark)
	_, tail, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks the marks for the figures", name)
	}
	return os.WriteFile(name, []byte(head+beginMark+r.markdown()+endMark+tail), 0o644)
}

func (r *results) markdown() string {
	var b bytes.Buffer
	b.WriteString("\n")
	for _, line := range r.machine {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	b.WriteString("\n| what | bar | measured | | medians |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range r.figures {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.What, f.Bar, f.Measured, f.Verdict, strings.ReplaceAll(f.Detail, "|", "\\|"))
	}
	b.WriteString("\n")
	return b.String()
}
