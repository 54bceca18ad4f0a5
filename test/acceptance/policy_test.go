package acceptance

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/lab"
	"holdfast/internal/lab/labtest"
	"holdfast/internal/point"
	"holdfast/internal/source"
	"holdfast/test/journey"
)

// rules choose volumes of one type, but not those of one project, and images that are used.
const rules = `  include:
    - {volume_type: "LUKS \"gold\"", smaller: 6GiB}
    - {pool: images, usage: used}
  exclude:
    - {project: PROJECT}
`

// wantedSQL is what the rules choose, as one query over the same databases.
const wantedSQL = `SELECT CONCAT('volumes/volume-', IFNULL(v._name_id, v.id)) FROM cinder.volumes v
  JOIN cinder.volume_types t ON t.id = v.volume_type_id JOIN keystone.project p ON p.id = v.project_id
  WHERE NOT v.deleted AND v.size < 6 AND t.name = 'LUKS "gold"' AND p.name <> 'PROJECT'
UNION SELECT CONCAT('images/', i.id) FROM glance.images i JOIN keystone.project p ON p.id = i.owner
  WHERE NOT i.deleted AND p.name <> 'PROJECT' AND (
    i.id IN (SELECT image_ref FROM nova.instances WHERE NOT deleted UNION SELECT image_ref FROM nova_cell0.instances WHERE NOT deleted)
    OR i.id IN (SELECT m.value FROM cinder.volume_glance_metadata m JOIN cinder.volumes v ON v.id = m.volume_id
      WHERE m.key = 'image_id' AND NOT m.deleted AND NOT v.deleted))`

// ownersSQL are the projects by how many volumes of that type they have, most first.
const ownersSQL = `SELECT p.name FROM cinder.volumes v JOIN cinder.volume_types t ON t.id = v.volume_type_id
  JOIN keystone.project p ON p.id = v.project_id WHERE NOT v.deleted AND v.size < 6 AND t.name = 'LUKS "gold"' GROUP BY p.name ORDER BY COUNT(*) DESC LIMIT 1`

// TestRulesChooseImagesByTheDatabases decides by the running databases, then by their copy, then by nothing.
func TestRulesChooseImagesByTheDatabases(t *testing.T) {
	l := labtest.New(t, labtest.Nodes(1), labtest.Ceph)
	project := strings.TrimSpace(query(t, l, "ctl1", ownersSQL))
	named := strings.NewReplacer("PROJECT", project)
	want := strings.Fields(query(t, l, "ctl1", strings.ReplaceAll(wantedSQL, "PROJECT", strings.ReplaceAll(project, "'", "''"))))
	slices.Sort(want)
	if project == "" || len(want) < 4 {
		t.Fatalf("the rules choose %d images, without project %q", len(want), project)
	}
	op := journey.At(t, journey.NewSite(t, l, func(config string) string { return config + named.Replace(rules) }))
	op.Run("init", "--yes")

	plan := planned(t, op)
	if diff := cmp.Diff(want, chosenBy(plan)); diff != "" {
		t.Errorf("chosen (-want +got):\n%s", diff)
	}
	reasons := map[string]int{}
	for _, task := range plan.Skipped {
		reasons[task.Reason]++
	}
	if reasons["not included by any of rbd.include"] == 0 || reasons["excluded by rbd.exclude[0]: project="+project] == 0 || len(reasons) != 2 {
		t.Errorf("left out: %v", reasons)
	}
	if out := op.Run("backup", "rbd", "--dry-run"); strings.Count(out, "not included by any") != 1 {
		t.Errorf("what is left out takes more than a line:\n%s", out)
	}
	checkPoint(t, op.Backup("rbd", "--only", "volumes/*[0-3]"), want)

	copied := op.Backup("mariadb", "--only", "*/logical")
	const younger = "volumes/volume-00000000-0000-4000-8000-000000000001"
	if err := l.MakeImages(t.Context(), &lab.Image{Pool: "volumes", Name: strings.TrimPrefix(younger, "volumes/"), Size: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if got := chosenBy(planned(t, op)); !cmp.Equal(want, got) {
		t.Errorf("a volume that no database knows is captured: %s", cmp.Diff(want, got))
	}
	if err := l.Stop(t.Context(), "ctl1"); err != nil {
		t.Fatal(err)
	}
	plan = planned(t, op)
	told(t, plan.Notes, "decided by the logical copy in point "+copied.ID)
	extra := more(t, chosenBy(plan), want)
	if !slices.Contains(extra, younger) || len(extra) != 3 {
		t.Errorf("by the copy, what it does not know are %q", extra)
	}
	for _, name := range extra {
		told(t, plan.Notes, name)
	}

	blind := journey.At(t, journey.NewSite(t, l, func(config string) string { return config + named.Replace(rules) }))
	blind.Run("init", "--yes")
	plan = planned(t, blind)
	if len(more(t, chosenBy(plan), want)) <= len(extra) {
		t.Error("with neither, hardly anything else is captured")
	}
	told(t, plan.Notes, "cannot be read")
}

// checkPoint looks at a point of some of the chosen images.
func checkPoint(t *testing.T, p point.Point, chosen []string) {
	t.Helper()
	good := 0
	for _, c := range p.Components {
		if c.State == point.Good && slices.Contains(chosen, c.Name) {
			good++
		} else if c.State != point.Skipped || c.Required {
			t.Errorf("%s is %s: %s", c.Name, c.State, c.Reason)
		}
	}
	if p.State != point.Complete || good == 0 {
		t.Errorf("the point is %s, with %d images", p.State, good)
	}
	told(t, p.Notes, "decided by the databases on ctl1")
}

// planned is what would be done about images.
func planned(t *testing.T, op *journey.Operator) source.Plan {
	t.Helper()
	var plans map[string]source.Plan
	if err := json.Unmarshal([]byte(op.Run("backup", "rbd", "--dry-run", "--json")), &plans); err != nil {
		t.Fatal(err)
	}
	return plans["rbd"]
}

func chosenBy(p source.Plan) (names []string) {
	for _, task := range p.Tasks {
		names = append(names, task.Name)
	}
	slices.Sort(names)
	return names
}

// more is what is there beyond all that must be.
func more(t *testing.T, there, must []string) []string {
	t.Helper()
	for _, name := range must {
		if !slices.Contains(there, name) {
			t.Errorf("%s is left out", name)
		}
	}
	return slices.DeleteFunc(there, func(name string) bool { return slices.Contains(must, name) })
}

func told(t *testing.T, notes []string, text string) {
	t.Helper()
	if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, text) }) {
		t.Errorf("no note says %q: %q", text, notes)
	}
}
