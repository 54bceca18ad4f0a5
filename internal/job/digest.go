package job

import (
	"encoding/json"

	"holdfast/internal/point"
)

// drillDigest is what a result takes from what a drill prints, of each shard when it is of all of them.
type drillDigest struct {
	Point string `json:"point"`
}

// sentDigest is what a result takes from what a replication prints.
type sentDigest struct {
	Points []struct {
		Point string `json:"point"`
		Bytes int64  `json:"bytes"`
	} `json:"points"`
}

// verifyDigest is what a result takes from what a verification prints of each point, and a healing of all of them.
type verifyDigest struct {
	Read int64 `json:"read_bytes"`
}

// take reads the numbers out of what a command printed. What it cannot read is left out: the exit code has told all that decides.
func (r *Result) take(printed []byte) {
	switch r.Step() {
	case "backup":
		var p point.Point
		if json.Unmarshal(printed, &p) == nil {
			r.Took(p)
		}
	case "drill":
		var one drillDigest
		shards := []drillDigest{}
		if json.Unmarshal(printed, &shards) != nil && json.Unmarshal(printed, &one) == nil {
			shards = []drillDigest{one}
		}
		for _, d := range shards { // mostly of one point, else the last
			r.Point = d.Point
		}
	case "replicate":
		var ways []sentDigest
		if json.Unmarshal(printed, &ways) != nil {
			return
		}
		for _, w := range ways {
			for _, p := range w.Points {
				r.New += p.Bytes
			}
		}
	case "verify":
		var healed verifyDigest
		points := []verifyDigest{}
		if json.Unmarshal(printed, &points) != nil && json.Unmarshal(printed, &healed) == nil {
			points = []verifyDigest{healed}
		}
		for _, p := range points {
			r.Read += p.Read
		}
	}
}

// Took says that a backup took a point.
func (r *Result) Took(p point.Point) {
	r.Point, r.Whole = p.ID, p.Whole()
	for _, c := range p.Components {
		r.Read, r.New = r.Read+c.BytesRead, r.New+c.BytesNew
	}
}
