package cli

import (
	"strings"
	"testing"

	"holdfast/internal/coverage"
)

// TestDepended: status is in order only once no image needs this host any more.
func TestDepended(t *testing.T) {
	served, unserved := coverage.Dependent{Target: "vms/a", Served: true}, coverage.Dependent{Target: "vms/b", ToResume: "resume b"}
	for says, all := range map[string][]coverage.Dependent{
		"":                               nil,
		"vms/a can be read only":         {served},
		"nothing serves vms/b, which":    {served, unserved},
		"nothing serves vms/b, vms/b, w": {unserved, unserved},
	} {
		err := depended(all)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%d images: %v, want %q", len(all), err, says)
		}
	}
}
