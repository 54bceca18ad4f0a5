package ceph

import (
	"encoding/json"
	"time"
)

// Names of the files that tell of the others.
const (
	ContentsName = "contents.json"
	PlanName     = "RESTORE.md"
)

// Contents is the list of a component's files, and of what could have been one.
type Contents struct {
	Version  int       `json:"version"`
	Cluster  string    `json:"cluster"`
	FSID     string    `json:"fsid"`
	Client   string    `json:"client"`
	Captured time.Time `json:"captured"`
	Files    []Entry   `json:"files"`
}

// State says whether a file is there.
type State string

// The states of files.
const (
	Present    State = "present"
	Incomplete State = "incomplete" // it is there without all that it should hold
	Absent     State = "absent"     // the cluster has no such thing
	Denied     State = "denied"     // the client may not read it
	Failed     State = "failed"     // it should be there and could not be read
)

// Entry is a file of a component.
type Entry struct {
	File    string `json:"file"`
	Command string `json:"command"` // that shows the same
	For     string `json:"for"`     // what it is good for
	Back    string `json:"takes_back,omitempty"`
	State   State  `json:"state"`
	Reason  string `json:"reason,omitempty"` // why it is not there, or not whole
	Size    int    `json:"size"`             // in bytes
}

// missing reports whether the component is not whole for want of the file.
func (e Entry) missing() bool { return e.State == Denied || e.State == Failed || e.State == Incomplete }

// ParseContents reads a list of contents.
func ParseContents(text []byte) (c Contents, err error) {
	err = json.Unmarshal(text, &c)
	return c, err
}

// readable is a value as indented JSON. It holds nothing that JSON cannot.
func readable(v any) []byte {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err)
	}
	return append(text, '\n')
}
