package ceph

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"text/template"
)

//go:embed restore.md.tmpl
var planText string

var planTemplate = template.Must(template.New(PlanName).Parse(planText))

// tell writes the plan and the list of contents.
func (c *capture) tell(context.Context) error {
	var plan bytes.Buffer
	if err := planTemplate.Execute(&plan, c.outline()); err != nil {
		return fmt.Errorf("write %s: %w", PlanName, err)
	}
	if err := c.write(PlanName, plan.Bytes()); err != nil {
		return err
	}
	c.proof["files"], c.proof["json_files"], c.proof["images"] = c.written+1, c.parsed, c.imageCount
	c.proof["answers"] = "all of them came"
	return c.write(ContentsName, readable(c.contents))
}

// outline is what the plan speaks of.
type outline struct {
	Contents
	Epoch   int64
	There   map[string]bool
	Missing []Entry
	Absent  []Entry
	Pools   []string // of block images
}

func (c *capture) outline() outline {
	o := outline{Contents: c.contents, Epoch: c.osds.Epoch, There: map[string]bool{}}
	for _, e := range c.contents.Files {
		switch {
		case e.missing():
			o.Missing = append(o.Missing, e)
		case e.State == Absent:
			o.Absent = append(o.Absent, e)
		}
		o.There[e.File] = e.State == Present || e.State == Incomplete
	}
	for _, p := range c.osds.of("rbd") {
		o.Pools = append(o.Pools, p.Name)
	}
	return o
}
