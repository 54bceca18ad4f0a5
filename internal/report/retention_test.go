package report

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/point"
	"holdfast/internal/retention"
)

func TestRetention(t *testing.T) {
	p := retention.Plan{Decisions: []retention.Decision{
		{
			Point: "p1", Started: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC), State: point.Complete, Bytes: 3 << 30,
			Reasons: []retention.Reason{{Rule: retention.Due, Text: "no rule wants it, begun 9 days ago"}, {Rule: retention.NextTier, Text: "tier s3 has a verified copy"}},
		},
		{Point: "p2", Started: time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC), State: point.Partial, Keep: true, Reasons: []retention.Reason{
			{Rule: retention.OnHold, Text: "on hold: \x1b[31maudit"},
			{Rule: retention.Newest, Source: "rbd", Text: "newest copy of a"}, {Rule: retention.Newest, Source: "kolla", Text: "newest copy of h"},
			{Rule: retention.Newest, Source: "rbd", Text: "newest point with all of it"}, {Rule: retention.Daily, Source: "rbd", Text: "newest good point of 2026-03-02"},
		}},
	}}
	want := "" +
		"POINT  STARTED           STATE          NEW  PLAN    WHY\n" +
		"p1     2026-03-01 02:00  complete  3.00 GiB  remove  no rule wants it, begun 9 days ago; tier s3 has a verified copy\n" +
		"p2     2026-03-02 02:00  partial        0 B  keep    on hold:  [31maudit; newest: kolla, rbd; daily: rbd\n"
	if diff := cmp.Diff(want, Retention(p).String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
