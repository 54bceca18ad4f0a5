package source

import "context"

// Status is how a prerequisite stands.
type Status string

// A failed check keeps a backup from being good; a warning only tells of a risk.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Check is one prerequisite as doctor tells it. Mend says what to do when it is not ok, ready to be copied: a command,
// an SQL statement, a line of configuration.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"`
}

// Checker is a source that can tell whether its prerequisites are met. It changes nothing.
type Checker interface {
	Check(ctx context.Context) []Check
}
