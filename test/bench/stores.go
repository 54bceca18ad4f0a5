package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/internal/lab/s3proxy"
)

var storeMeasurements = []measurement{
	{"store-replicate", replicateToStore},
	{"store-increment", storeIncrement},
	{"store-restore", restoreFromStore},
	{"store-prune", pruneStore},
	{"store-nothing-new", nothingNew},
}

const (
	storeBucket = "bench"
	farAway     = 60 * time.Millisecond
)

// tiered adds a tier in the gateway to a vault's configuration, at a place of its own, and makes its vault.
func (v *vault) tiered(prefix, endpoint string) error {
	text, err := os.ReadFile(v.config)
	if err != nil {
		return err
	}
	config, _, _ := strings.Cut(string(text), "  - name: s3\n")
	_, rest, _ := strings.Cut(string(text), "kolla:\n")
	config, _, _ = strings.Cut(config, "kolla:\n")
	config += v.b.lab.S3Tier("s3", storeBucket+"/"+prefix, endpoint) + "kolla:\n" + rest
	if err := os.WriteFile(v.config, []byte(config), 0o600); err != nil {
		return err
	}
	_, _, err = v.hold("init", "--yes")
	return err
}

// replicate brings the points to the tier, and returns how many bytes that took.
func (v *vault) replicate() (sent int64, took float64, err error) {
	out, took, err := v.hold("replicate", "s3", "--json")
	if err != nil {
		return 0, took, err
	}
	var results []struct {
		Points []struct {
			Bytes int64 `json:"bytes"`
		} `json:"points"`
	}
	if err := json.Unmarshal(out, &results); err != nil {
		return 0, took, err
	}
	for _, r := range results {
		for _, p := range r.Points {
			sent += p.Bytes
		}
	}
	return sent, took, nil
}

// stored makes a vault with a point of the 2 GiB image.
func (b *bench) stored(image string) (*vault, error) {
	if err := b.lab.MakeBucket(b.ctx, storeBucket, false); err != nil {
		b.say("   %v", err)
	}
	if err := b.anImage(image); err != nil {
		return nil, err
	}
	v, err := b.newVault()
	if err != nil {
		return nil, err
	}
	_, _, err = v.capture(image)
	return v, err
}

// rcloneConfig writes how rclone reaches the gateway.
func (b *bench) rcloneConfig() (string, error) {
	keys, err := os.ReadFile(filepath.Join(b.lab.Options.Dir, "secrets/s3"))
	if err != nil {
		return "", err
	}
	access, secret, _ := strings.Cut(strings.TrimSpace(string(keys)), "\n")
	name := filepath.Join(b.dir, "rclone.conf")
	return name, os.WriteFile(name, []byte(fmt.Sprintf("[lab]\ntype = s3\nprovider = Ceph\nendpoint = %s\naccess_key_id = %s\nsecret_access_key = %s\n",
		b.lab.Ceph.Endpoint, access, secret)), 0o600)
}

// replicateToStore compares a first replication with a copy of the vault's files, and measures the one after 1 % changed.
func replicateToStore(b *bench) error {
	v, err := b.stored("stored")
	if err != nil {
		return err
	}
	defer b.drop("stored")
	defer v.remove()
	rclone, err := b.rcloneConfig()
	if err != nil {
		return err
	}
	n, sent := 0, int64(0)
	c, err := b.compare(min(b.pairs, 3), func() (took float64, err error) {
		n++
		if err := v.tiered(fmt.Sprintf("first-%d", n), ""); err != nil {
			return 0, err
		}
		sent, took, err = v.replicate()
		return took, err
	}, func() (float64, error) {
		n++
		return b.sh("env -u AWS_CA_BUNDLE rclone --config %s copy --transfers 16 --s3-no-check-bucket %s/vault lab:%s/rclone-%d", rclone, v.dir, storeBucket, n)
	})
	if err != nil {
		return err
	}
	speed := 1 / c.ratio()
	b.add(figure{
		What: "first replication of a 2 GiB image to S3", Bar: "≥ 0.50 ×", Measured: fmt.Sprintf("%.2f ×", speed), Verdict: verdict(speed >= 0.5),
		Detail: c.seconds("rclone copy --transfers 16 of the vault's files") + "; " + mib(sent),
	})
	return v.increments(c.ours(), sent)
}

// increments replicates twice after 1 % of the image changed.
func (v *vault) increments(first float64, all int64) error {
	b := v.b
	for seed := range uint64(2) {
		if err := b.rewrite("stored", 5, object, 100+seed); err != nil {
			return err
		}
		if _, _, err := v.capture("stored"); err != nil {
			return err
		}
		sent, took, err := v.replicate()
		if err != nil {
			return err
		}
		bar := first*float64(sent)/float64(all) + 1
		b.add(figure{
			What: "replication after 1 % changed", Bar: fmt.Sprintf("≤ %.2f s", bar), Measured: fmt.Sprintf("%.2f s", took), Verdict: verdict(took <= bar),
			Detail: fmt.Sprintf("%s, %.2f s of processor; the bar is its share of the first and 1 s", mib(sent), v.processor),
		})
	}
	return nil
}

// restoreFromStore restores an image from a store that is 60 ms away.
func restoreFromStore(b *bench) error {
	v, err := b.stored("away")
	if err != nil {
		return err
	}
	defer b.drop("away")
	defer v.remove()
	if err := v.tiered("away", ""); err != nil {
		return err
	}
	if _, _, err := v.replicate(); err != nil {
		return err
	}
	proxy, err := s3proxy.Listen(b.lab.Ceph.Endpoint, 1)
	if err != nil {
		return err
	}
	defer proxy.Close()
	proxy.Set(s3proxy.Faults{Latency: farAway})
	if err := v.tiered("away", proxy.URL); err != nil {
		return err
	}
	var rates, processor []float64
	for range min(b.pairs, 3) {
		to, remove := b.scratch("away.raw")
		_, took, err := v.hold("restore", "image", "latest:rbd", "volumes/away", "--to", to, "--yes", "--tier", "s3")
		remove()
		if err != nil {
			return err
		}
		rates, processor = append(rates, float64(imageSize)/1e6/took), append(processor, v.processor)
	}
	b.add(figure{
		What: "restore of a 2 GiB image from S3, 60 ms away", Bar: "≥ 200 MB/s", Measured: fmt.Sprintf("%.0f MB/s", median(rates)),
		Verdict: verdict(median(rates) >= 200), Detail: fmt.Sprintf("to a file with holes, %d runs, the whole command, %.1f s of processor; %d requests in all", len(rates), median(processor), proxy.Seen("requests")),
	})
	return nil
}
