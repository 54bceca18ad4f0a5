package point

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// NewID names a run started at now: sortable by time, readable, and distinct within one second by four random digits.
func NewID(now time.Time) string {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process itself
	return now.UTC().Format("20060102-150405") + "-" + hex.EncodeToString(b[:])
}
