package rows_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/host"
	"holdfast/internal/rows"
)

// cloud is a small one: its tables with a line of columns and lines of rows, in which ~ is nothing at all.
var cloud = map[string]string{
	"cinder.volumes": "id _name_id display_name project_id volume_type_id size status deleted\n" +
		"n2 ~ older p1 t1 7 deleted 1\n" + "v1 ~ one p1 t1 5 available 0\n" + "v2 n2 two p2 t2 7 in-use 0\n" + "v3 ~ gone p1 t1 1 deleted 1\n" + "n2 ~ old p1 t1 7 deleted 1\n",
	"cinder.volume_types":             "id name\nt1 gold\nt2 scratch\n",
	"cinder.volume_metadata":          "volume_id key value deleted\nv1 backup none 0\nv1 old x 1\nv2 note ~ 0\nv9 lost y 0\nn2 gone z 0\n",
	"cinder.volume_glance_metadata":   "volume_id key value deleted\nv1 image_id i1 0\nv3 image_id i3 0\nv1 image_name i2 0\nv2 image_id i4 1\n",
	"glance.images":                   "id name owner size status deleted\ni1 jammy p1 100 active 0\ni2 noble p2 ~ queued 0\n",
	"keystone.project":                "id name\np1 ops\np2 ci\n",
	"nova_api.cell_mappings":          "database_connection\nnone:///nova_cell0\n{scheme}://{username}@{hostname}/{path}?{query}\nmysql://nova:a%2Fb@db/nova_c2?x=/y\n",
	"nova.instances":                  "uuid hostname project_id image_ref vm_state host deleted\ns1 web p2 i2 active cmp1 0\ns2 db p1 i5 deleted ~ 17\n",
	"nova_cell0.instances":            "uuid hostname project_id image_ref vm_state host deleted\n",
	"nova_c2.instances":               "uuid hostname project_id image_ref vm_state host deleted\ns3 vol p1 ~ active cmp2 0\n",
	"cinder.volume_attachment":        "volume_id instance_uuid deleted\nv2 s1 0\nv1 s1 1\nv1 ~ 0\nv1 s9 0\n",
	"nova.block_device_mapping":       "volume_id instance_uuid deleted\nv2 s1 0\n~ s1 0\nv1 s1 4\n",
	"nova_cell0.block_device_mapping": "volume_id instance_uuid deleted\n",
	"nova_c2.block_device_mapping":    "volume_id instance_uuid deleted\nv1 s3 0\nyoung s3 0\n",
}

func want() *rows.Facts {
	ops, ci := rows.Project{ID: "p1", Name: "ops"}, rows.Project{ID: "p2", Name: "ci"}
	return &rows.Facts{
		Volumes: map[string]rows.Volume{
			"v1": {ID: "v1", Name: "one", Project: ops, TypeID: "t1", Type: "gold", GiB: 5, Status: "available", Metadata: map[string]string{"backup": "none"}},
			"n2": {ID: "v2", Name: "two", Project: ci, TypeID: "t2", Type: "scratch", GiB: 7, Status: "in-use", Metadata: map[string]string{"note": ""}},
			"v3": {ID: "v3", Name: "gone", Project: ops, TypeID: "t1", Type: "gold", GiB: 1, Status: "deleted", Deleted: true},
		},
		Images: map[string]rows.Image{
			"i1": {ID: "i1", Name: "jammy", Project: ops, Size: 100, Status: "active"},
			"i2": {ID: "i2", Name: "noble", Project: ci, Status: "queued"},
		},
		Servers: map[string]rows.Server{
			"s1": {ID: "s1", Name: "web", Project: ci, Image: "i2", Host: "cmp1", Status: "active", Volumes: []string{"n2"}},
			"s2": {ID: "s2", Name: "db", Project: ops, Image: "i5", Status: "deleted", Deleted: true},
			"s3": {ID: "s3", Name: "vol", Project: ops, Host: "cmp2", Status: "active", Volumes: []string{"v1", "young"}},
		},
		Used: map[string]bool{"i1": true, "i2": true},
	}
}

// copied is the cloud as a logical copy has it.
func copied(without string) rows.Reader {
	files := fstest.MapFS{}
	for name, text := range cloud {
		if strings.HasPrefix(name, without) {
			continue
		}
		lines := strings.Split(strings.TrimSpace(text), "\n")
		db, table, _ := strings.Cut(name, ".")
		var b strings.Builder
		b.WriteString("CREATE TABLE `" + table + "` (`more` int,`" + strings.ReplaceAll(lines[0], " ", "` int,`") + "` int);\n")
		for _, row := range lines[1:] {
			b.WriteString("INSERT INTO `" + table + "` VALUES (1,'" + strings.ReplaceAll(row, " ", "','") + "');\n")
		}
		files[db+"/"+table+".sql"] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(b.String(), "'~'", "NULL"))}
	}
	return rows.Copy{Files: files}
}

// running is the cloud as its server has it.
func running(t *testing.T) rows.Reader {
	return rows.Running{Query: func(_ context.Context, sql string) ([][]string, error) {
		parts, from, ok := strings.Cut(sql, " FROM ")
		text, there := cloud[strings.ReplaceAll(from, "`", "")]
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if !there {
			return nil, &host.ExitError{Code: 1, Stderr: "ERROR 1146 (42S02) at line 1: Table doesn't exist"}
		}
		var columns []string
		for _, c := range strings.Fields(lines[0]) {
			columns = append(columns, "IFNULL(CONCAT('=',`"+c+"`),'')")
		}
		if !ok || parts != "SELECT "+strings.Join(columns, ",") {
			t.Errorf("query %s", sql)
		}
		var all [][]string
		for _, line := range lines[1:] {
			row := strings.Fields(line)
			for i := range row {
				row[i] = strings.TrimPrefix("="+row[i], "=~")
			}
			all = append(all, row)
		}
		return all, nil
	}}
}

func TestLoad(t *testing.T) {
	whole := rows.Need{Volumes: true, Images: true, Servers: true, Attached: true}
	for name, r := range map[string]rows.Reader{
		"copy": copied("-"), "running": running(t), "parted": rows.All{copied("cinder."), copied("nova_cell0."), running(t)},
	} {
		got, err := rows.Load(t.Context(), r, whole)
		if diff := cmp.Diff(want(), got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestServersWithTheirVolumes(t *testing.T) {
	got, err := rows.Load(t.Context(), copied("glance."), rows.Need{Attached: true})
	if err != nil || len(got.Volumes) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if diff := cmp.Diff(want().Servers, got.Servers); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := rows.Load(t.Context(), copied("cinder."), rows.Need{Servers: true}); err != nil || len(got.Servers["s1"].Volumes) > 0 {
		t.Errorf("volumes nobody wanted: %+v, %v", got, err)
	}
}

func TestOnlyWhatIsNeededIsRead(t *testing.T) {
	got, err := rows.Load(t.Context(), copied("glance."), rows.Need{Volumes: true})
	if err != nil || len(got.Volumes) != 3 || len(got.Servers) != 0 || !got.Used["i1"] || got.Used["i2"] {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMissingTables(t *testing.T) {
	whole := rows.Need{Volumes: true, Images: true, Servers: true, Attached: true}
	for _, table := range []string{"cinder.", "cinder.volume_types", "glance.", "keystone.", "nova_c2."} {
		if _, err := rows.Load(t.Context(), copied(table), whole); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: %v", table, err)
		}
	}
	got, err := rows.Load(t.Context(), copied("nova"), whole)
	if err != nil || len(got.Servers) != 0 || len(got.Images) != 2 {
		t.Errorf("without Nova: %+v, %v", got, err)
	}
}

func TestAnErrorIsNoMissingTable(t *testing.T) {
	down := rows.Running{Query: func(context.Context, string) ([][]string, error) {
		return nil, &host.ExitError{Code: 1, Stderr: "ERROR 2002 (HY000): Can't connect"}
	}}
	if _, err := rows.Load(t.Context(), rows.All{down, copied("-")}, rows.Need{Images: true}); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a server that is down: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rows.Load(ctx, copied("-"), rows.Need{Images: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
