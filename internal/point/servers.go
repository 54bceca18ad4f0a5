package point

// Server is a server of the cloud, several of whose images are in a point, or which stood still for them.
type Server struct {
	ID, Name    string
	Images      int    // that are good
	Consistency string // "frozen" if the images are consistent with each other, else "crash"
	// SkewSeconds is the time within which all of their moments lie.
	SkewSeconds float64
}

// Servers lists the servers in the order of their first images.
func (p Point) Servers() []Server {
	index := map[string]int{}
	var all []Server
	for _, c := range p.Components {
		id, _ := c.Identity["server"].(string)
		if id == "" || c.State != Good {
			continue
		}
		n, known := index[id]
		if !known {
			n, index[id] = len(all), len(all)
			all = append(all, Server{ID: id, Consistency: Frozen})
			all[n].Name, _ = c.Identity["server_name"].(string)
		}
		all[n].Images++
		all[n].SkewSeconds, _ = c.Proof["server_skew_seconds"].(float64)
		if c.Proof["consistency"] != Frozen {
			all[n].Consistency = Crash
		}
	}
	out := all[:0]
	for _, s := range all {
		if s.Images > 1 || s.Consistency == Frozen {
			out = append(out, s)
		}
	}
	return out
}

// How consistent the images of a server are with each other.
const (
	Frozen = "frozen" // as after an orderly stop: the server stood still
	Crash  = "crash"  // each alone as after a power cut
)
