package cli

import (
	"strings"

	"holdfast/internal/report"
	"holdfast/internal/vault"
)

// verified is what verify tells of one point; "" stands for what belongs to none.
type verified struct {
	Point string `json:"point"`
	vault.Report
}

// verifiedPoints takes a report apart, point by point.
func verifiedPoints(r vault.Report) []verified {
	all := []verified{}
	for _, p := range r.Each {
		one := verified{p.Point, vault.Report{
			Points: 1, Files: p.Files, Contents: p.Contents, Bytes: p.Bytes, Read: p.Read, ReadBytes: p.ReadBytes,
			Damaged: damagesOf(r.Damaged, p.Point), // in JSON nothing damaged is an empty list
		}}
		all = append(all, one)
	}
	rest := damagesOf(r.Damaged, "")
	if len(all) == 1 {
		all[0].Damaged, all[0].Note = append(rest, all[0].Damaged...), r.Note
	} else if len(rest) > 0 || r.Note != "" {
		all = append(all, verified{"", vault.Report{Damaged: rest, Note: r.Note}})
	}
	return all
}

func damagesOf(all []vault.Damage, point string) []vault.Damage {
	some := []vault.Damage{}
	for _, d := range all {
		if d.Point == point {
			some = append(some, d)
		}
	}
	return some
}

func (a *app) tellVerified(r vault.Report) error {
	points := verifiedPoints(r)
	if a.json {
		return a.printJSON(points)
	}
	return a.tellVerifiedPoints(points)
}

func (a *app) tellVerifiedPoints(points []verified) error {
	for _, r := range points {
		if r.Point != "" {
			if err := a.printf("point %s: %d files, %d pieces looked for, %d (%s) read back\n", r.Point, r.Files, r.Contents, r.Read,
				report.Size(r.ReadBytes)); err != nil {
				return err
			}
		}
		if err := a.tellDamages("damaged", r.Damaged); err != nil {
			return err
		}
		if r.Note != "" {
			if err := a.printf("  note: %s\n", r.Note); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellDamages names damages, each after a word that says what became of it.
func (a *app) tellDamages(word string, all []vault.Damage) error {
	for _, d := range all {
		place := strings.Join(strings.Fields(d.Source+" "+d.Component+" "+d.File), " ")
		if err := a.printf("  %s: %s: %s\n", word, place, d.What); err != nil {
			return err
		}
	}
	return nil
}
