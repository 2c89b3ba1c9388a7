"""Brain dissimilarity matrices as judgments: files of rsatoolbox and Meadows, vectors per region."""

from __future__ import annotations

from perceptinit.plugin import Component, hookimpl


@hookimpl
def perceptinit_judgments():
    return [
        Component(
            name="brain-rdms/rsatoolbox",
            target="perceptinit_brain_rdms.rsatoolbox_file:RsatoolboxFile",
            summary="brain RDMs of an rsatoolbox file, by region and subject",
            extra="perceptinit-brain-rdms",
        ),
        Component(
            name="brain-rdms/rdm",
            target="perceptinit_brain_rdms.rdm_export:RdmExport",
            summary="matrices that rsatoolbox (.hdf5) or Meadows (.json, .mat) saved, with image names",
            extra="perceptinit-brain-rdms",
        ),
        Component(
            name="brain-rdms/regions",
            target="perceptinit_brain_rdms.regions:Regions",
            summary="brain RDMs as one vector file per region and subject (NOD layout)",
        ),
    ]
