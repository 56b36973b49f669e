"""Operations: what a step of a run can be, one file each."""
