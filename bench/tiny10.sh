#!/bin/bash
# Real photos: ten classes of Tiny ImageNet (5,000 + 500 photos of 64x64), from files to scores.
# usage: bench/tiny10.sh FOLDER OUT [PENUMBRA]
#   FOLDER  train/<class>/*, val/<class>/*, Annotations/val/*.xml, boxes.csv (split,wnid,file,xmin,ymin,xmax,ymax)
#   OUT     where metadata, runs and scores go
# Settings were chosen on train_val (500 photos held back from training); val is looked at once, at the end.
set -euo pipefail
photos=$(realpath "$1") out=$2 penumbra=$(realpath "${3:-build/penumbra}") configs=$(realpath "$(dirname "$0")/../configs")
mkdir -p "$out" && cd "$out"

# VOC XML of the training photos, so that train_val has boxes too.
python3 - "$photos" <<'PYTHON'
import csv, os, sys
for row in csv.DictReader(open(sys.argv[1] + "/boxes.csv")):
    if row["split"] != "train":
        continue
    folder, stem = "annotations/" + row["wnid"], row["file"].rsplit(".", 1)[0]
    os.makedirs(folder, exist_ok=True)
    box = "".join(f"<{k}>{row[k]}</{k}>" for k in ("xmin", "ymin", "xmax", "ymax"))
    with open(f"{folder}/{stem}.xml", "w") as file:
        file.write(f"<annotation><filename>{stem}</filename><size><width>64</width><height>64</height><depth>3</depth></size>"
                   f"<object><name>{row['wnid']}</name><bndbox>{box}</bndbox></object></annotation>\n")
PYTHON

"$penumbra" prepare --train_path "$photos/train" --val_path "$photos/val" --val_annotation_path "$photos/Annotations/val" \
  --extended_annot_base_path annotations --output_base_path meta --image_size 128

# The classifier: from scratch at the photos' own size, then a few epochs at twice the size, where taps are finer.
fit() {
  "$penumbra" fit-classifier --train_json meta/train_train.json --val_json meta/train_val.json --arch resnet18 --width 0.5 \
    --batch_size 64 --weight_decay 0.0005 --min_crop_area 0.25 --workers 1 --output_path runs "$@"
}
fit --name small --input_size 64 --epochs 30 --lr 0.05 --warmup_epochs 1
fit --name classifier --resnet_path runs/small/classifier.safetensors --input_size 128 --epochs 8 --lr 0.02 --warmup_epochs 0.5

for mode in fix ca; do
  "$penumbra" train --train_json meta/train_train.json --val_json meta/train_val.json --ZZsrc "$configs/$mode.json" \
    --resnet_path runs/classifier/classifier.safetensors --min_crop_area 0.5 --masker_use_layers 1,2,3,4 --upsample bilinear \
    --mask_in_lambda_r 1.25 --mask_out_lambda_r 4 --lambda_tv 0.005 --perc_of_training 1 --epochs 3 --lrde 2 --batch_size 32 \
    --workers 1 --output_path runs --name $mode
done

mkdir -p scores
for set in train_val val; do
  score() { "$penumbra" score --resnet_path runs/classifier/classifier.safetensors --val_json meta/$set.json \
    --bboxes_path meta/${set}_bboxes.json --output_path "scores/$1.$set.json" --mode "${@:2}"; }
  score fix casme --casm_path runs/fix/last.chk
  score ca casme --casm_path runs/ca/last.chk
  for mode in center max ground_truth; do score $mode $mode; done
done

# Methods x metrics on all validation photos.
"$penumbra" evaluate --methods casme,grad_cam,grad_cam_pp,layer_cam,cam,gradient,guided_backprop,input_x_gradient,linear_approx,random,sobel,center \
  --layer layer3 --metrics LE,MaxBoxAccV2,insertion,deletion,pointing_game,ms_per_image --casm_path runs/fix/last.chk \
  --resnet_path runs/classifier/classifier.safetensors --val_json meta/val.json --bboxes_path meta/val_bboxes.json \
  --output_path methods
