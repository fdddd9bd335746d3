// React 19: <deep-breath> as a component, and the classifier as a hook.

import { useEffect, useRef, useState } from 'react';
import { Classifier } from 'deepbreath';
import 'deepbreath/element';

/** The whole reader. `onAssessment` gets the answer as plain data. */
export function Reader({ weights, backend = 'auto', onAssessment }) {
  const element = useRef(null);
  useEffect(() => {
    const node = element.current;
    const heard = ({ detail }) => onAssessment?.(detail);
    node.addEventListener('assessment', heard);
    return () => node.removeEventListener('assessment', heard);
  }, [onAssessment]);
  return <deep-breath ref={element} weights={weights} backend={backend} />;
}

/** A classifier of this component's own: `{ classifier, error, progress }`, each undefined until it is there. */
export function useClassifier(weights) {
  const [state, setState] = useState({});
  useEffect(() => {
    const abort = new AbortController();
    let classifier;
    Classifier.load({ weights, signal: abort.signal, onProgress: (progress) => setState({ progress }) }).then((loaded) => {
      classifier = loaded;
      setState({ classifier });
    }, (error) => abort.signal.aborted || setState({ error }));
    return () => {
      abort.abort();
      classifier?.dispose();
    };
  }, [weights]);
  return state;
}
