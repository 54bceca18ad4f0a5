package schema

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// epoch is when the cloud was deployed. Nothing depends on the clock.
var epoch = time.Date(2024, 3, 1, 8, 30, 0, 0, time.UTC)

// Names people really give to things, and names that break careless scripts. The columns hold utf8mb3, so nothing is
// outside the basic plane.
var (
	projectNames = []string{"web-shop", "billing", "research", "ci", "data-lake", "intranet", "O'Reilly & Söhne", `legacy\win`, "телеком", "日本支社"}
	serverNames  = []string{"web", "db", "worker", "gitlab-runner", "build", "jump", "mail", `it's "quoted"`, "multi\nline", "ünïcödé"}
	volumeNames  = []string{"data", "root", "pgdata", "scratch", "", `back\slash\`, "sem;colon -- no comment", "/* not a comment */", "tab\there", "ﬀ ligature"}
	imageNames   = []string{"debian-12", "ubuntu-24.04", "rocky-9", "cirros", "windows-2022", "fedora-coreos", "", "100% `golden` image"}
	deviceNames  = []string{"/dev/vdb", "/dev/vdc", "/dev/vdd"}
)

// Generate draws the cloud that the options ask for.
func Generate(o Options) *Cloud {
	d := newDice(o.Seed)
	scale := max(o.Scale, 1)
	c := &Cloud{dice: d, FSID: cmp.Or(o.FSID, d.uuid()), Secret: cmp.Or(o.Secret, d.uuid())}
	c.Cells = [2]string{"00000000-0000-0000-0000-000000000000", d.uuid()}
	computes := o.Computes
	if computes == nil {
		computes = []string{"cmp1", "cmp2"}
	}
	for _, host := range computes {
		c.Computes = append(c.Computes, Compute{Host: host, UUID: d.uuid(), Service: d.uuid()})
	}
	c.addTenants(10 * scale)
	c.addFlavors()
	c.addImages(30 * scale)
	c.addVolumes(300 * scale)
	c.addNetworks()
	c.addServers(200 * scale)
	return c
}

// addTenants makes the projects and three users in each, after the services' own.
func (c *Cloud) addTenants(n int) {
	d := c.dice
	for _, name := range []string{"admin", "member", "reader", "service"} {
		c.Roles = append(c.Roles, Role{d.id(), name})
	}
	admin := Project{ID: d.id(), Name: "admin", Description: "Bootstrap project", Enabled: true, Created: epoch}
	service := Project{ID: d.id(), Name: "service", Enabled: true, Created: epoch}
	c.Projects = append(c.Projects, admin, service)
	c.addUser("admin", admin.ID, "admin", "root@localhost")
	for _, name := range []string{"glance", "cinder", "nova", "placement", "neutron"} {
		c.addUser(name, service.ID, "admin", "")
	}
	for i := range n {
		p := Project{ID: d.id(), Name: numbered(projectNames, i), Enabled: !d.chance(5), Created: d.after(epoch)}
		p.Description = pick(d, []string{"", "cost centre 4711", "owner: \"ops\"\nsee wiki \\ runbook", "Größe: unbekannt"})
		c.Projects = append(c.Projects, p)
		for j, role := range []string{"admin", "member", "reader"} {
			name := fmt.Sprintf("user%d-%d", i+1, j+1)
			c.addUser(name, p.ID, role, name+"@example.org")
		}
	}
}

func (c *Cloud) addUser(name, project, role, email string) {
	for _, r := range c.Roles {
		if r.Name == role {
			u := User{ID: c.dice.id(), Name: name, Project: project, Role: r.ID, Email: email, Created: c.dice.after(epoch)}
			c.Users = append(c.Users, u)
		}
	}
}

func (c *Cloud) addFlavors() {
	for i, name := range []string{"m1.tiny", "m1.small", "m1.medium", "m1.large", "c5.xlarge", "r5.2xlarge", "gpu 'a100'"} {
		c.Flavors = append(c.Flavors, Flavor{
			ID: i + 1, Name: name, FlavorID: c.dice.uuid(), VCPUs: 1 << (i / 2), Memory: 512 << i, RootGB: 5 * i,
			SwapMB: 1024 * (i % 2), Extra: []string{"", "hw:cpu_policy", "quota:disk_total_iops_sec"}[i%3],
		})
	}
}

func (c *Cloud) addImages(n int) {
	d := c.dice
	for i := range n {
		img := Image{
			ID: d.uuid(), Name: numbered(imageNames, i), Owner: c.tenant().ID, Format: "raw",
			Visibility: pick(d, []string{"public", "private", "shared", "community"}),
			Size:       int64(1+d.IntN(200)) << 24, MinDisk: d.IntN(10),
			Checksum: d.id(), Hash: fmt.Sprintf("%x", d.bytes(64)), Created: d.after(epoch),
			Properties: map[string]string{"os_type": "linux", "hw_disk_bus": "scsi", "description": pick(d, volumeNames)},
		}
		if d.chance(10) {
			img.Deleted = d.after(img.Created)
		}
		c.Images = append(c.Images, img)
	}
}

func (c *Cloud) addVolumes(n int) {
	d := c.dice
	c.Types = []VolumeType{{d.uuid(), "__DEFAULT__", ""}, {d.uuid(), "rbd-1", "rbd-1"}, {d.uuid(), "LUKS \"gold\"", "rbd-1"}}
	for i := range n {
		p := c.tenant()
		v := &Volume{
			ID: d.uuid(), Name: numbered(volumeNames, i), Description: pick(d, []string{"", "line one\r\nline two", "100 %"}),
			Project: p.ID, User: c.userOf(p.ID).ID, Type: pick(d, c.Types).ID, Status: "available",
			Size: pick(d, []int{1, 5, 10, 20, 50, 100, 500}), Created: d.after(p.Created),
		}
		switch {
		case d.chance(7):
			v.Status, v.Deleted = "deleted", d.after(v.Created)
		case d.chance(3):
			v.Status = "error"
		case d.chance(3):
			v.NameID = d.uuid()
		case d.chance(25):
			v.Image = c.image()
		}
		for v.Deleted.IsZero() && d.chance(25) {
			v.Snapshots = append(v.Snapshots, Snapshot{d.uuid(), "snap of " + v.Name, d.after(v.Created)})
		}
		c.Volumes = append(c.Volumes, v)
	}
}

// addNetworks makes the public network and one for each tenant.
func (c *Cloud) addNetworks() {
	d := c.dice
	c.Networks = append(c.Networks, Network{
		ID: d.uuid(), Name: "public1", Project: c.Projects[0].ID, Subnet: d.uuid(), Segment: d.uuid(),
		CIDR: "198.51.100.0/24", Gateway: "198.51.100.1", External: true,
	})
	for i, p := range c.Projects[2:] {
		prefix := fmt.Sprintf("10.%d.%d.", 16+i/250, i%250)
		c.Networks = append(c.Networks, Network{
			ID: d.uuid(), Name: p.Name + " net", Project: p.ID, Subnet: d.uuid(), Segment: d.uuid(), Router: d.uuid(),
			CIDR: prefix + "0/24", Gateway: prefix + "1", Segmentation: 1000 + i,
		})
	}
}

// addServers makes servers with a port each and attaches free volumes of the same project to them.
func (c *Cloud) addServers(n int) {
	free := map[string][]*Volume{}
	for _, v := range c.Volumes {
		if v.Status == "available" {
			free[v.Project] = append(free[v.Project], v)
		}
	}
	next := map[string]int{}
	for i := range n {
		s := c.newServer(i)
		next[s.Network.ID]++
		s.Address = strings.TrimSuffix(s.Network.Gateway, "1") + fmt.Sprint(10+next[s.Network.ID]%240)
		if s.Image == nil && len(free[s.Project]) == 0 {
			s.Image = c.image()
		}
		if !s.Failed && s.Deleted.IsZero() {
			free[s.Project] = c.attach(&s, free[s.Project])
		} else if s.Image == nil {
			s.Image = c.image()
		}
		c.Servers = append(c.Servers, s)
	}
}

func (c *Cloud) newServer(i int) Server {
	d := c.dice
	network := pick(d, c.Networks[1:])
	s := Server{
		ID: d.uuid(), Name: numbered(serverNames, i), Project: network.Project, User: c.userOf(network.Project).ID,
		Host: pick(d, c.Computes).Host, State: pick(d, []string{"active", "active", "active", "stopped", "paused"}),
		Port: d.uuid(), MAC: d.mac(), Flavor: pick(d, c.Flavors), Network: network, Created: d.after(epoch),
		UserData: pick(d, []string{"", "I2Nsb3VkLWNvbmZpZwo="}),
	}
	switch {
	case d.chance(4):
		s.Failed, s.State, s.Host = true, "error", ""
	case d.chance(8):
		s.State, s.Deleted = "deleted", d.after(s.Created)
	}
	if d.chance(70) {
		s.Image = c.image()
	}
	return s
}

// attach gives the server its root volume, if it has no image, and now and then some more; it returns those left.
func (c *Cloud) attach(s *Server, free []*Volume) []*Volume {
	want := 0
	if s.Image == nil {
		want = 1
	}
	for want < 3 && c.dice.chance(40) {
		want++
	}
	want = min(want, len(free))
	for i, v := range free[:want] {
		device := deviceNames[i]
		if i == 0 && s.Image == nil {
			device = "/dev/vda"
		}
		v.Status = "in-use"
		v.Attachment = &Attachment{ID: c.dice.uuid(), Server: s.ID, Host: s.Host, Device: device}
		s.Volumes = append(s.Volumes, v)
	}
	return free[want:]
}

// tenant draws a project that is not one of the cloud's own.
func (c *Cloud) tenant() Project { return pick(c.dice, c.Projects[2:]) }

func (c *Cloud) userOf(project string) User {
	var of []User
	for _, u := range c.Users {
		if u.Project == project {
			of = append(of, u)
		}
	}
	return pick(c.dice, of)
}

// image draws an image that lives.
func (c *Cloud) image() *Image {
	for {
		if img := &c.Images[c.dice.IntN(len(c.Images))]; img.Deleted.IsZero() {
			return img
		}
	}
}

// numbered gives the i-th name; from the second round on with a number, so that names stay distinct.
func numbered(names []string, i int) string {
	if i < len(names) || names[i%len(names)] == "" {
		return names[i%len(names)]
	}
	return fmt.Sprintf("%s-%d", names[i%len(names)], i/len(names)+1)
}
