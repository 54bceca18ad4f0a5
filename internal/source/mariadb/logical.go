package mariadb

import (
	"context"
	"fmt"

	"holdfast/internal/source"
)

func (s *Source) captureLogical(ctx context.Context, sess *session, sink source.Sink) (source.Outcome, error) {
	return source.Outcome{}, fmt.Errorf("todo")
}
