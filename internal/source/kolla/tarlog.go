package kolla

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// remark is what one line of tar's stderr means for the copy.
type remark int

const (
	silent   remark = iota // says nothing of the copy
	vanished               // it was deleted meanwhile
	changed                // it was written to while it was read: what was captured may mix both
	cut                    // it became shorter while it was read: zeros stand for what was gone
	lost                   // it is there and could not be read
	unable                 // tar itself cannot keep a kind of attribute
	bare                   // its content was captured, its extended attributes or ACL were not
)

// remarks are the endings of tar's lines, most telling first; all of GNU tar's own since 1.26.
var remarks = []struct {
	ending *regexp.Regexp
	means  remark
}{
	{regexp.MustCompile(`(?i): (socket|door) ignored$`), silent},
	{regexp.MustCompile(`(?i)^(POSIX ACL|XATTR|SELinux) support is not available`), unable},
	{regexp.MustCompile(`(?i)^(Removing leading|Exiting with failure status|Error is not recoverable)`), silent},
	{regexp.MustCompile(`(?i): File removed before we read it$`), vanished},
	{regexp.MustCompile(`(?i): (Warning: )?Cannot \w+: No such file or directory$`), vanished},
	{regexp.MustCompile(`(?i): file changed as we read it$`), changed},
	{regexp.MustCompile(`(?i): (Warning: )?File shrank by \d+ bytes?; padding with zeros$`), cut},
	{regexp.MustCompile(`(?i): Warning: Cannot \w*(acl|xattr|getfilecon)\w*: .+$`), bare},
	{regexp.MustCompile(`(?i): (Warning: )?Cannot \w+: .+$`), lost},
	{regexp.MustCompile(`(?i): (Warning: )?Read error at (byte|offset) \d+, while reading \d+ bytes?: .+$`), lost},
	{regexp.MustCompile(`(?i): Unknown file type; file ignored$`), silent},
}

// tarLog gathers what tar says while it reads; names are as tar quotes them, relative to the root directory.
type tarLog struct {
	vanished, changed, lost, bare []string
	unable                        []string
	unknown                       []string // lines of tar that are not in the table
}

// line takes one line of stderr.
func (l *tarLog) line(text string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	rest, fromTar := strings.CutPrefix(text, "tar: ")
	if !fromTar {
		return // ssh, sudo and login scripts talk too
	}
	for _, r := range remarks {
		if at := r.ending.FindStringIndex(rest); at != nil {
			l.note(r.means, rest[:at[0]], rest[at[0]:])
			return
		}
	}
	l.unknown = append(l.unknown, text)
}

func (l *tarLog) note(means remark, name, why string) {
	if means == unable {
		l.unable = append(l.unable, "tar: "+why)
		return
	}
	name = "/" + strings.TrimPrefix(path.Clean(name), "/")
	switch means {
	case vanished:
		l.vanished = append(l.vanished, name)
	case changed:
		l.changed = append(l.changed, name)
	case bare:
		l.bare = append(l.bare, name)
	case cut, lost:
		l.lost = append(l.lost, name+why)
	}
}

// notes say what happened to files and does not spoil the copy.
func (l *tarLog) notes() []string {
	var notes []string
	for _, name := range compact(l.vanished) {
		notes = append(notes, name+" was deleted while it was read")
	}
	for _, name := range compact(l.changed) {
		notes = append(notes, name+" changed while it was read")
	}
	for _, name := range compact(l.bare) {
		notes = append(notes, "extended attributes or ACL of "+name+" could not be read")
	}
	return append(notes, compact(l.unable)...)
}

// missing names what is there and was not captured whole, given tar's exit status: what an unknown line says matters
// only when tar itself calls it trouble.
func (l *tarLog) missing(status int) []string {
	if status != tarTrouble {
		return compact(l.lost)
	}
	return append(compact(l.lost), compact(l.unknown)...)
}

func compact(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
