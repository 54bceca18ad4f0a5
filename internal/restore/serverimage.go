package restore

import (
	"context"

	"holdfast/internal/host"
	"holdfast/internal/point"
)

// ServerImage is the image that the server of a copy ran from, and the container engine of this machine that runs it.
type ServerImage struct {
	Engine   string
	ID       string
	Describe string // "the server's own image, ..."

	load func(ctx context.Context) error
}

// Load makes sure that the engine has the image.
func (i ServerImage) Load(ctx context.Context) error {
	if i.load == nil {
		return nil
	}
	return i.load(ctx)
}

// Args begin every command line of the engine that runs a program of the image, without a network.
func (i ServerImage) Args() []string {
	return append([]string{"run", "--network=none", "--entrypoint="}, ulimits(i.Engine)...)
}

// Env is what the engine's command finds its server by.
func (i ServerImage) Env() []string { return engineEnv() }

// ServerImage finds the image of a physical copy: in the engine here, else in the point. It reports false when there is none.
func (r *Restorer) ServerImage(ctx context.Context, p point.Point, c point.Component) (ServerImage, bool) {
	i := ServerImage{ID: text(c.Identity, "image_id")}
	if i.ID == "" {
		return i, false
	}
	if i.Engine = r.engine(ctx); i.Engine == "" {
		return i, false
	}
	if host.Run(ctx, r.Local, host.Cmd{Args: []string{i.Engine, "image", "inspect", i.ID}, Env: engineEnv()}) == nil {
		i.Describe = "the server's own image, which " + i.Engine + " has here"
		return i, true
	}
	saved, ok := savedImage(p, i.ID)
	i.Describe = "the server's own image, loaded from the point into " + i.Engine
	i.load = func(ctx context.Context) error { return r.loadImage(ctx, p.ID, saved, i.Engine) }
	return i, ok
}
