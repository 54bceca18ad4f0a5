package main

import (
	"encoding/json"
	"fmt"
	"time"

	"holdfast/internal/lab"
)

// instantImage measures how soon a sparse image of 100 GiB can be written to, and what it takes when all of it is back.
func instantImage(b *bench) error {
	const runs = 100 // of an object each
	i := &lab.Image{Pool: "volumes", Name: "sparse", Size: 100 << 30}
	for n := range int64(runs) {
		i.Do("write", n<<30, object, n)
	}
	if err := b.lab.MakeImages(b.ctx, i); err != nil {
		return err
	}
	defer b.drop("sparse")
	v, err := b.newVault()
	if err != nil {
		return err
	}
	defer v.remove()
	if _, _, err := v.capture("sparse"); err != nil {
		return err
	}
	var times []float64
	var used int64
	for range 3 {
		took, size, err := v.instantly("sparse", "instant")
		if err != nil {
			return err
		}
		times, used = append(times, took), max(used, size)
	}
	first := median(times)
	b.add(figure{
		What: "instant restore of a sparse image of 100 GiB, to the first write", Bar: "≤ 2 s", Measured: fmt.Sprintf("%.2f s", first),
		Verdict: verdict(first <= 2), Detail: fmt.Sprintf("of %.2f s, from the start of the command until rbd bench has written 4 KiB", times),
	})
	share := float64(used) / float64(runs*object)
	b.add(figure{
		What: "the same, what it takes after all was copied", Bar: "≤ 1.1 × the point's bytes", Measured: fmt.Sprintf("%.2f ×", share),
		Verdict: verdict(share <= 1.1), Detail: fmt.Sprintf("rbd du %s, with the write; the point has %s that are not zeros", mib(used), mib(runs*object)),
	})
	return nil
}

// instantly restores an image under another name, and returns the seconds until that was written to and the bytes it takes in
// the end. The restored image is removed.
func (v *vault) instantly(from, as string) (first float64, used int64, err error) {
	b := v.b
	cmd, err := v.command("restore", "image", "latest:rbd", "volumes/"+from, "--instant", "--as", "volumes/"+as, "--yes")
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer b.drop(as)
	for first == 0 {
		if _, err := b.sh("%s bench --io-type write --io-size 4096 --io-total 4096 --io-threads 1 volumes/%s", b.rbdCommand(), as); err == nil {
			first = time.Since(began).Seconds()
		}
		if time.Since(began) > time.Minute {
			return 0, 0, fmt.Errorf("volumes/%s could not be written to within a minute", as)
		}
	}
	if err := <-ended; err != nil {
		return first, 0, fmt.Errorf("instant restore: %w", err)
	}
	var du struct {
		Images []struct {
			Used int64 `json:"used_size"`
		} `json:"images"`
	}
	out, err := b.output("%s du --format json volumes/%s", b.rbdCommand(), as)
	if err == nil {
		err = json.Unmarshal(out, &du)
	}
	if err != nil || len(du.Images) == 0 {
		return first, 0, fmt.Errorf("read what volumes/%s takes: %w", as, err)
	}
	return first, du.Images[0].Used, nil
}
