# make demo       train and score the network on synthetic motion and draw it, in about eight minutes of one core
# make look       predict on invented motion with the released weights, and say where the page is, in seconds
# make test       lint, types, tests
# make gpu        check this project on a GPU and write a report that can be sent; without one a small run on the CPU
# make reproduce DATA=folder
#                 train and evaluate the three datasets at the paper's settings, and write checkpoint/reproduce.md;
#                 given again it goes on. ARGS='--only cmu --cuda_idx cuda:1' adds options
# make clean      remove .venv and the synthetic motion
# All make their own environment in .venv; PYTHON chooses the interpreter it is made from (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := data/sample
# A narrow network and few epochs: 8 minutes of processor time on an AMD EPYC, environment included.
DEMO := --data_dir $(SAMPLE) --output_n 10 --d_model 4 --batch_size 32 --lr_now 0.003 --dropout 0 --cuda_idx cpu

.PHONY: help demo look test gpu reproduce clean

help:
	@sed -n -e '/^#/!q' -e 's/^# //p' Makefile

demo: .venv/extra
	$(BIN)/python tools/make_sample_data.py $(SAMPLE)
	$(BIN)/python main_h36m.py $(DEMO) --skip_rate 5 --epoch 2 --exp demo_h36m
	$(BIN)/python main_3dpw.py $(DEMO) --epoch 6 --exp demo_3dpw
	$(BIN)/python main_cmu_3d.py $(DEMO) --epoch 8 --exp demo_cmu
	$(BIN)/python tools/visualise.py demo_cmu --data_dir $(SAMPLE) --random 1 --action walking
	@echo 'tables: checkpoint/demo_*/results.md   curves: checkpoint/demo_cmu/curves.png   pictures: checkpoint/demo_cmu/pictures/'

look: .venv/core
	@mkdir -p pictures
	$(BIN)/python tools/predict.py cmu_short --invented walking --last 240 --out pictures/look.html
	@echo 'open pictures/look.html in a browser: drag to turn, space to play'

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal

gpu: .venv/dev
	$(BIN)/python tools/gpu_check.py $(ARGS)

ifeq ($(filter reproduce,$(MAKECMDGOALS))$(DATA),reproduce)
$(error which data? make reproduce DATA=folder that holds h36m, cmu_mocap or 3dpw)
endif

reproduce: .venv/core
	$(BIN)/python tools/reproduce.py "$(DATA)" $(ARGS)

.venv/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/core: .venv/python requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/extra: .venv/core requirements-extra.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-extra.txt
	touch $@

.venv/dev: .venv/extra requirements-dev.txt requirements-export.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv $(SAMPLE)
