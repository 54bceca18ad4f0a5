package schema

import "time"

// Cloud is what the rows describe, so that other parts of a lab (volumes in a pool, files on a host) can agree with
// the databases.
type Cloud struct {
	FSID     string
	Secret   string // UUID of the libvirt secret that opens the pools
	Computes []Compute
	Projects []Project
	Users    []User
	Roles    []Role
	Flavors  []Flavor
	Images   []Image
	Types    []VolumeType
	Volumes  []*Volume
	Networks []Network
	Servers  []Server
	Cells    [2]string // UUIDs of cell0 and cell1; the first is all zeros

	dice dice
}

// Compute is a hypervisor.
type Compute struct{ Host, UUID, Service string }

// Role is a keystone role.
type Role struct{ ID, Name string }

// Project is a tenant. Its users are those with the same Project.
type Project struct {
	ID, Name, Description string
	Enabled               bool
	Created               time.Time
}

// User belongs to a project and has a role in it.
type User struct {
	ID, Name, Project, Role, Email string
	Created                        time.Time
}

// Flavor is a size of server.
type Flavor struct {
	ID                 int
	Name, FlavorID     string
	VCPUs, Memory      int // Memory in MiB
	RootGB, SwapMB     int
	Description, Extra string
}

// Image is a Glance image that lies in a pool.
type Image struct {
	ID, Name, Owner, Format, Visibility string
	Size                                int64 // bytes
	MinDisk                             int   // GiB
	Checksum, Hash                      string
	Properties                          map[string]string
	Created, Deleted                    time.Time // Deleted is zero while the image lives
}

// Location is where the image lies: a snapshot of an image in the pool images.
func (i Image) Location(fsid string) string { return "rbd://" + fsid + "/images/" + i.ID + "/snap" }

// VolumeType is a Cinder volume type.
type VolumeType struct{ ID, Name, Backend string }

// Volume is a Cinder volume in the pool volumes.
type Volume struct {
	ID, Name, Description, Project, User, Type, Status string
	Size                                               int    // GiB
	Image                                              *Image // it was made from this image
	NameID                                             string // its image in the pool has this name after a migration
	Snapshots                                          []Snapshot
	Attachment                                         *Attachment
	Created, Deleted                                   time.Time
}

// Snapshot is a snapshot of a volume.
type Snapshot struct {
	ID, Name string
	Created  time.Time
}

// Attachment joins a volume to a server.
type Attachment struct{ ID, Server, Host, Device string }

// Network is a tenant's network with one subnet, or the public one, whose Project is the admin's.
type Network struct {
	ID, Name, Project, Subnet, CIDR, Gateway, Segment, Router string
	Segmentation                                              int
	External                                                  bool
}

// Server is a Nova instance.
type Server struct {
	ID, Name, Project, User, Host, State, Address, Port, MAC, UserData string
	Flavor                                                             Flavor
	Network                                                            Network
	Image                                                              *Image // nil when it boots from Volumes[0]
	Volumes                                                            []*Volume
	Created, Deleted                                                   time.Time
	Failed                                                             bool // it never found a host and lives in cell0
}
