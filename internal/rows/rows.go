// Package rows is what the databases of Cinder, Glance, Nova and Keystone say of block images: whose they are, of which
// type, and what uses them. It is read from a running server or from a logical copy, which tell the same in the same way.
package rows

import (
	"context"
	"time"

	"holdfast/internal/stream/sqldump"
)

// Value is what a row holds in one column.
type Value = sqldump.Value

// Reader hands on what every row of a table holds in the named columns. A table that is not there is fs.ErrNotExist.
type Reader interface {
	Read(ctx context.Context, db, table string, columns []string, each func([]Value) error) error
}

// Need says what is wanted. What nobody wants is not read.
type Need struct {
	Volumes, Images, Servers bool
	Attached                 bool // which volumes a server has; it takes both
}

// Any reports whether anything is wanted.
func (n Need) Any() bool { return n != Need{} }

// Facts is what the databases said at one moment.
type Facts struct {
	From string    // where they were read: "the databases on ctl3", "the copy in point 2026…"
	At   time.Time // as of when
	Live bool      // read from a running server: what is not in them is not there at all

	Volumes map[string]Volume // by the id that stands in the image's name
	Images  map[string]Image
	Servers map[string]Server
	Used    map[string]bool // ids of Glance's images that a volume or a server was made from which is still there
}

// Project is a project of Keystone.
type Project struct{ ID, Name string }

// Is reports whether the project has that name or id.
func (p Project) Is(nameOrID string) bool { return p.ID == nameOrID || p.Name == nameOrID }

// Volume is a volume of Cinder.
type Volume struct {
	ID       string // in the API; that in the image's name may be another
	Name     string
	Project  Project
	TypeID   string
	Type     string // its name
	GiB      int64
	Status   string
	Deleted  bool
	Metadata map[string]string
}

// Image is an image of Glance.
type Image struct {
	ID      string
	Name    string
	Project Project
	Size    int64 // in bytes
	Status  string
	Deleted bool
}

// Server is a server of Nova. Its id is also that of libvirt's domain.
type Server struct {
	ID      string
	Name    string
	Project Project
	Image   string // id of the one it boots from, "" for one that boots from a volume
	Host    string // the compute that it is on, as Nova calls it; "" for none
	Status  string
	Deleted bool
	// Volumes are the ids that stand in the names of the images of its volumes, if they were wanted.
	Volumes []string
}
