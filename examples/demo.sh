#!/bin/sh
# The main job, end to end, on real data: train, export, prove, sample from the file, score it. Run by `make demo`.
set -eu
BIN=${BIN:-.venv/bin}
DEMO=${DEMO:-demo}
say() { printf '\n== %s\n' "$*"; }

rm -rf "$DEMO"
say "1/5 train a DCGAN on 1,797 real handwritten digits (16x16), about a minute"
"$BIN/ganforge" train dcgan --data digits --resolution 16 --steps 2000 --every 250 --precision bf16 --threads 1 \
    --batch-size 64 --set architecture.width=32 --out "$DEMO/run"
say "2/5 export the generator to one file and prove it against torch"
"$BIN/ganforge" export "$DEMO/run" -o "$DEMO/digits.onnx"
say "3/5 sample from the run (torch) and from the file (onnxruntime): the same seed, the same pictures"
"$BIN/ganforge" sample "$DEMO/run" --n 64 --seed 1 -o "$DEMO/from-run.png"
"$BIN/ganforge" sample "$DEMO/digits.onnx" --n 64 --seed 1 -o "$DEMO/from-file.png"
say "4/5 score the file beside held-out digits: are samples like real ones, and are real ones covered"
GANFORGE_CACHE="$DEMO/cache" "$BIN/ganforge" evaluate "$DEMO/digits.onnx" --samples 190 --metrics prdc --write-card
say "5/5 done. Open these:"
for file in from-file.png run/report.html run/samples/progress.gif; do echo "   $DEMO/$file"; done
