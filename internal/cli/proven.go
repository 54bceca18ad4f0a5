package cli

import (
	"fmt"

	"holdfast/internal/point"
	"holdfast/internal/report"
	"holdfast/internal/verify"
)

// proven adds to what a tier holds of a point what its last verification found.
func proven(t point.Tier, found verify.Findings, id string) point.Tier {
	f, ok := found[id]
	if !ok {
		return t
	}
	t.Verified, t.Damaged, t.ReadInFull = found.Good(id), f.Damaged, f.Full
	if t.Verified == nil {
		return t
	}
	t.Depth = string(f.Depth)
	if f.Depth == verify.Sample {
		t.Percent = f.Percent
	}
	return t
}

// provenText tells what is known of a tier's copy of a point.
func provenText(t point.Tier) string {
	switch {
	case t.Damaged > 0:
		return fmt.Sprintf("found damaged in %d places: heal it with holdfast verify --heal --tier %s", t.Damaged, t.Tier)
	case t.Verified == nil:
		return "not known to be whole: holdfast verify finds out"
	}
	text := "verified " + t.Verified.UTC().Format(dateTime) + " UTC" + depthText(t)
	if t.ReadInFull != nil && !t.ReadInFull.Equal(*t.Verified) {
		text += ", read in full " + t.ReadInFull.UTC().Format(dateTime) + " UTC"
	}
	return text
}

func depthText(t point.Tier) string {
	switch verify.Depth(t.Depth) {
	case verify.Quick:
		return " (looked for)"
	case verify.Sample:
		return fmt.Sprintf(" (%s %% read)", report.Percent(t.Percent))
	case verify.Full:
		return " (read in full)"
	}
	return ""
}

// provenShort tells it in the width of a column, of the first tier.
func provenShort(tiers []point.Tier) string {
	if len(tiers) == 0 {
		return ""
	}
	switch t := tiers[0]; {
	case t.Damaged > 0:
		return "DAMAGED"
	case t.Verified == nil:
		return "never"
	case t.Depth == "":
		return t.Verified.UTC().Format(dateTime)
	default:
		return t.Verified.UTC().Format(dateTime) + " " + t.Depth
	}
}
