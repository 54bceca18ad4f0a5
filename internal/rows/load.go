package rows

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Load reads what is wanted. A cloud without Nova has no servers; any other table that is missing is an error, since
// there would be no telling what it is that the databases do not know.
func Load(ctx context.Context, r Reader, need Need) (*Facts, error) {
	l := &loader{ctx: ctx, r: r, facts: &Facts{
		Volumes: map[string]Volume{}, Images: map[string]Image{}, Servers: map[string]Server{}, Used: map[string]bool{},
	}, names: map[string]string{}, attached: map[string][]string{}}
	// What refers to others is read first: what it refers to is then there, even if rows are added meanwhile.
	if need.Attached {
		l.attachments()
		need.Volumes, need.Servers = true, true
	}
	if need.Volumes {
		l.volumes()
	}
	if need.Images {
		l.images()
	}
	if need.Servers && l.err == nil {
		l.servers(need.Attached)
	}
	l.attach()
	l.projects()
	return l.facts, l.err
}

// loader reads one table after the other until one fails.
type loader struct {
	ctx   context.Context
	r     Reader
	facts *Facts
	err   error

	names    map[string]string   // of volumes: by the id in the API, the ids in the images' names
	attached map[string][]string // by the server's id, the ids of its volumes in the API
}

// read calls each with the columns of every row, in which nothing is "".
func (l *loader) read(db, table, columns string, each func(row []string)) {
	if l.err != nil {
		return
	}
	err := l.r.Read(l.ctx, db, table, strings.Fields(columns), func(values []Value) error {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = v.Text
		}
		each(row)
		return nil
	})
	if err != nil {
		l.err = fmt.Errorf("read %s.%s: %w", db, table, err)
	}
}

func (l *loader) volumes() {
	l.read("cinder", "volumes", "id _name_id display_name project_id volume_type_id size status deleted", func(r []string) {
		v := Volume{ID: r[0], Name: r[2], Project: Project{ID: r[3]}, TypeID: r[4], GiB: number(r[5]), Status: r[6], Deleted: isTrue(r[7])}
		name := r[0]
		if r[1] != "" {
			name = r[1]
		}
		if old, twice := l.facts.Volumes[name]; !twice || old.Deleted {
			delete(l.names, old.ID)
			l.facts.Volumes[name], l.names[v.ID] = v, name
		}
	})
	types := map[string]string{}
	l.read("cinder", "volume_types", "id name", func(r []string) { types[r[0]] = r[1] })
	l.read("cinder", "volume_metadata", "volume_id key value deleted", func(r []string) {
		if name, known := l.names[r[0]]; known && !isTrue(r[3]) {
			v := l.facts.Volumes[name]
			if v.Metadata == nil {
				v.Metadata = map[string]string{}
			}
			v.Metadata[r[1]] = r[2]
			l.facts.Volumes[name] = v
		}
	})
	l.read("cinder", "volume_glance_metadata", "volume_id key value deleted", func(r []string) {
		name, known := l.names[r[0]]
		if known && r[1] == "image_id" && !isTrue(r[3]) && !l.facts.Volumes[name].Deleted {
			l.facts.Used[r[2]] = true
		}
	})
	for name, v := range l.facts.Volumes {
		v.Type = types[v.TypeID]
		l.facts.Volumes[name] = v
	}
}

func (l *loader) images() {
	l.read("glance", "images", "id name owner size status deleted", func(r []string) {
		l.facts.Images[r[0]] = Image{ID: r[0], Name: r[1], Project: Project{ID: r[2]}, Size: number(r[3]), Status: r[4], Deleted: isTrue(r[5])}
	})
}

// attachments reads which volumes Cinder has given to servers.
func (l *loader) attachments() {
	l.read("cinder", "volume_attachment", "volume_id instance_uuid deleted", func(r []string) {
		if !isTrue(r[2]) {
			l.attached[r[1]] = append(l.attached[r[1]], r[0])
		}
	})
}

// attach tells servers their volumes. One that is too young for the table of volumes has the id of its image.
func (l *loader) attach() {
	for id, volumes := range l.attached {
		s, known := l.facts.Servers[id]
		if !known {
			continue
		}
		for _, v := range volumes {
			s.Volumes = append(s.Volumes, cmp.Or(l.names[v], v))
		}
		slices.Sort(s.Volumes)
		s.Volumes = slices.Compact(s.Volumes)
		l.facts.Servers[id] = s
	}
}

// servers reads every cell: the databases that Nova's mappings name.
func (l *loader) servers(attached bool) {
	cells := map[string]bool{}
	l.read("nova_api", "cell_mappings", "database_connection", func(r []string) { cells[cellName(r[0])] = true })
	if errors.Is(l.err, fs.ErrNotExist) && len(cells) == 0 {
		l.err = nil // there is no Nova
	}
	for cell := range cells {
		if attached {
			l.read(cell, "block_device_mapping", "volume_id instance_uuid deleted", func(r []string) {
				if r[0] != "" && !isTrue(r[2]) {
					l.attached[r[1]] = append(l.attached[r[1]], r[0])
				}
			})
		}
		l.read(cell, "instances", "uuid hostname project_id image_ref vm_state host deleted", func(r []string) {
			s := Server{ID: r[0], Name: r[1], Project: Project{ID: r[2]}, Image: r[3], Status: r[4], Host: r[5], Deleted: isTrue(r[6])}
			l.facts.Servers[s.ID] = s
			if s.Image != "" && !s.Deleted {
				l.facts.Used[s.Image] = true
			}
		})
	}
}

// cellName is the database at the end of a connection, which may hold a password. A template stands for Nova's own.
func cellName(connection string) string {
	connection, _, _ = strings.Cut(connection, "?")
	name := connection[strings.LastIndexByte(connection, '/')+1:]
	if name == "" || strings.Contains(name, "{") {
		return "nova"
	}
	return name
}

// projects gives the projects of all that was read their names.
func (l *loader) projects() {
	names := map[string]string{}
	l.read("keystone", "project", "id name", func(r []string) { names[r[0]] = r[1] })
	for k, v := range l.facts.Volumes {
		v.Project.Name = names[v.Project.ID]
		l.facts.Volumes[k] = v
	}
	for k, i := range l.facts.Images {
		i.Project.Name = names[i.Project.ID]
		l.facts.Images[k] = i
	}
	for k, s := range l.facts.Servers {
		s.Project.Name = names[s.Project.ID]
		l.facts.Servers[k] = s
	}
}

// isTrue reads a mark of deletion, which Nova sets to the row's own id.
func isTrue(text string) bool { return text != "" && text != "0" }

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // what is no number is not known
	return n
}
