package mariadb

import (
	"context"
	"fmt"

	"holdfast/internal/source"
)

const imagePrefix = "image/"

func (s *Source) captureImage(ctx context.Context, n Node, t source.Task, sink source.Sink) (source.Outcome, error) {
	return source.Outcome{}, fmt.Errorf("todo")
}
func (s *Source) planImages(ctx context.Context, plan *source.Plan, shard Shard, seen []observation, images map[string]bool) {
}
