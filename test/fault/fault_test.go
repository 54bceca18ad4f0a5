// Package fault holds what bad input and bad luck do to Holdfast, on real servers: every test strikes once, in the
// middle of the work, and then demands a clear error, the right exit code, no point that looks better than it is, earlier
// points as they were, nothing left running and no node out of step, and a next run that is good.
package fault

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/test/journey"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// scene is a lab and an operator with a vault that holds at least one complete point.
type scene struct {
	*journey.Operator
	t    testing.TB
	lab  *lab.Lab
	site journey.Site
}

var common struct {
	sync.Mutex
	site journey.Site
	lab  *lab.Lab
}

// theLab is the lab that the tests share.
var theLab = func(t *testing.T) *lab.Lab { return labtest.Shared(t) }

// shared returns the scene that tests share which leave every point of it as it is.
func shared(t *testing.T) *scene {
	t.Helper()
	common.Lock()
	defer common.Unlock()
	if common.lab == nil {
		l := theLab(t)
		site := journey.NewSite(t, l, nil)
		op := journey.At(t, site)
		op.Init()
		op.Backup()
		common.lab, common.site = l, site
	}
	return at(t, common.lab, common.site)
}

func at(t testing.TB, l *lab.Lab, site journey.Site) *scene {
	t.Helper()
	return &scene{Operator: journey.At(t, site), t: t, lab: l, site: site}
}

// aside returns a scene with a copy of the shared vault, to be damaged.
func aside(t *testing.T) *scene {
	t.Helper()
	s := shared(t)
	return at(t, s.lab, s.site.Copy(t, s.lab))
}

// kept fails the test unless every earlier point is still there, the newest of them can be read back whole, nothing runs
// on the hosts, and every node is in step.
func (s *scene) kept(earlier []string, started ...journey.Process) {
	s.t.Helper()
	journey.Quiet(s.t, s.lab, started...)
	s.inStep()
	now := s.Points()
	for _, id := range earlier {
		if !slices.Contains(now, id) {
			s.t.Errorf("point %s is gone, there are %v", id, now)
		}
	}
	s.Run("verify", "--full", earlier[0])
}

// inStep fails the test when a node is not synced or has been left desynced.
func (s *scene) inStep() {
	s.t.Helper()
	for _, n := range s.lab.Nodes() {
		if err := s.lab.AwaitSynced(context.Background(), n.Host); err != nil {
			s.t.Error(err)
			continue
		}
		out, err := s.lab.SQL(context.Background(), n.Host, "SELECT @@GLOBAL.wsrep_desync, @@GLOBAL.wsrep_on")
		if err != nil || out != "0\t1" {
			s.t.Errorf("%s: wsrep_desync and wsrep_on are %q, %v", n.Host, out, err)
		}
	}
}

// onlyNew returns the one point that is there now and was not before.
func (s *scene) onlyNew(before []string) string {
	s.t.Helper()
	var added []string
	for _, id := range s.Points() {
		if !slices.Contains(before, id) {
			added = append(added, id)
		}
	}
	if len(added) != 1 {
		s.t.Fatalf("new points are %v, want one", added)
	}
	return added[0]
}

// nothingNew fails the test when a point is there that was not before.
func (s *scene) nothingNew(before []string) {
	s.t.Helper()
	for _, id := range s.Points() {
		if !slices.Contains(before, id) {
			s.t.Errorf("the run left point %s", id)
		}
	}
}

// spoiled demands that the point's component is failed and says each of the words, and that nobody takes the point, or
// the component, for a good one.
func (s *scene) spoiled(id, component string, words ...string) point.Point {
	s.t.Helper()
	p := s.Show(id)
	if p.State == point.Complete {
		s.t.Errorf("point %s is complete", id)
	}
	c, ok := p.Component("mariadb", component)
	if !ok || c.State != point.ComponentFailed {
		s.t.Errorf("%s is %+v", component, c)
	}
	for _, w := range words {
		if !strings.Contains(strings.ToLower(c.Reason), strings.ToLower(w)) {
			s.t.Errorf("the reason of %s does not say %q: %s", component, w, c.Reason)
		}
	}
	if !strings.HasSuffix(c.Reason, ")") {
		s.t.Errorf("the reason of %s has no hint: %s", component, c.Reason)
	}
	if latest := s.Show("latest"); latest.ID == id {
		s.t.Errorf("latest is the spoiled point %s", id)
	}
	return p
}

// said demands that text holds every word, and the failure's hint.
func said(t testing.TB, r journey.Result, code int, words ...string) {
	t.Helper()
	if r.Code != code {
		t.Errorf("exit code is %d, want %d\n%s", r.Code, code, r.Stderr)
	}
	for _, w := range words {
		if !strings.Contains(r.Stderr, w) {
			t.Errorf("stderr does not say %q:\n%s", w, r.Stderr)
		}
	}
	if !strings.Contains(r.Stderr, "hint:") && !strings.Contains(r.Stderr, `"hint":"`) || strings.Contains(r.Stderr, `"hint":""`) {
		t.Errorf("there is no hint:\n%s", r.Stderr)
	}
}

// next demands that a backup completes now, and returns its point.
func (s *scene) next() point.Point {
	s.t.Helper()
	return s.Backup("mariadb")
}

// write replaces a file of the test's own.
func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
